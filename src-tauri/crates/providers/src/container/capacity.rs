//! What an engine can carry: room, and which versions its images give.

use super::{
    engines::{Engine, Whereabouts},
    images::Standing,
    plans,
    shared::Shared,
};
use crate::{
    host,
    version::{carriers, each, newest_first, numbers, together},
};
use clusterdeck_domain::{Capacity, Carrier, MissingSoftware};
use clusterdeck_driver::{Carried, DriverError, Extension, Image, Needs, Programs, Result, Software};
use std::path::Path;

/// See [`clusterdeck_driver::Provider::capacity`]. `promised` is the memory of the machines that the engine has.
pub(super) async fn of(
    shared: &Shared,
    engine: &Engine,
    needs: &Needs<'_>,
    promised: u64,
) -> Result<Capacity> {
    let mut server = offers(shared, engine, &needs.server, needs.version).await?;
    let mut gateway = offers(shared, engine, &needs.gateway, None).await?;
    // For a change that somebody means, not for a look at what there is: registries count these questions.
    if needs.region.is_some() || needs.plan.is_some() {
        server.only_what_is_given(shared, engine, needs.version).await;
        gateway.only_what_is_given(shared, engine, None).await;
    }
    let mut missing = Vec::new();
    let mut to_fetch = Vec::new();
    for (offered, programs, wanted) in
        [(&server, &needs.server, needs.version), (&gateway, &needs.gateway, None)]
    {
        match offered.chosen(wanted) {
            Some(offer) if !offer.here => to_fetch.push(format!("The image {}", offer.reference)),
            Some(_) => {}
            None => missing.extend(offered.why_none(programs, wanted)),
        }
    }
    let plan = needs.plan.and_then(|wanted| plans::plans().into_iter().find(|p| p.id == wanted.id));
    let data = engine.data.clone().unwrap_or_else(|| Path::new("/").to_owned());
    let (memory_free_bytes, disk_free_bytes) = match engine.whereabouts {
        // It runs on this computer: what is free here is free there.
        Whereabouts::Here | Whereabouts::Apart => (host::memory_free(), host::disk_free(&data)),
        Whereabouts::Virtual(memory) => (memory.map(|all| all.saturating_sub(promised)), None),
    };
    let disk_unseen = matches!(engine.whereabouts, Whereabouts::Virtual(_));
    let carriers = server.carriers;
    let away = server.offers.iter().filter(|o| !o.here);
    let fetched_first = newest_first(away.map(|o| o.version.clone()).collect());
    let versions = newest_first(server.offers.into_iter().map(|o| o.version).collect());
    Ok(Capacity {
        plan,
        memory_free_bytes,
        disk_free_bytes,
        disk_unseen,
        by_published_ports: engine.whereabouts.publishes(),
        addresses_free: Some(super::network::allocate(engine, &shared.home_id, &[]).await.is_ok()),
        // Every machine has an address of its own that nobody else listens on.
        ports_taken: Vec::new(),
        missing,
        versions,
        fetched_first,
        carriers,
        region: Some(engine.id.clone()),
        to_fetch,
        instead: None,
    })
}

/// A version that can be had.
struct Offer {
    version: String,
    /// The release line that its image is named for.
    line: String,
    reference: String,
    here: bool,
}

/// What can be had, and why the rest cannot.
#[derive(Default)]
struct Offers {
    offers: Vec<Offer>,
    refused: Vec<(Image, String)>,
    carriers: Vec<Carrier>,
}

impl Offers {
    /// The offer for a wanted version, else the newest of its release line; the newest of all when none is wanted.
    fn chosen(&self, wanted: Option<&str>) -> Option<&Offer> {
        let newest = |fits: &dyn Fn(&Offer) -> bool| {
            self.offers.iter().filter(|offer| fits(offer)).max_by_key(|offer| numbers(&offer.version))
        };
        let Some(wanted) = wanted else { return newest(&|_| true) };
        newest(&|offer| belongs(&offer.version, wanted))
            .or_else(|| newest(&|offer| belongs(wanted, &offer.line)))
    }

    /// Lets go of offers that their registry refuses, until the one that is chosen is here or can be fetched.
    async fn only_what_is_given(&mut self, shared: &Shared, engine: &Engine, wanted: Option<&str>) {
        while let Some(reference) = self.chosen(wanted).filter(|o| !o.here).map(|o| o.reference.clone()) {
            let Some(why) = shared.images.refused(engine, &reference).await else { return };
            let (gone, left) =
                std::mem::take(&mut self.offers).into_iter().partition(|o| o.reference == reference);
            self.offers = left;
            let images = gone.into_iter().map(|o: Offer| Image { line: o.line, reference: o.reference });
            self.refused.extend(images.map(|image| (image, why.clone())));
        }
    }

    /// What to tell when nothing can be had: the image that would have been taken, and why it was not.
    fn why_none(&self, programs: &Programs, wanted: Option<&str>) -> Option<MissingSoftware> {
        let names: Vec<&str> = programs.programs.iter().map(|(program, _)| *program).collect();
        if names.is_empty() {
            return None;
        }
        let (names, elsewhere) = match programs.extension {
            Some(extension) => ([names, vec![extension.name]].concat(), Some(extension.elsewhere.to_owned())),
            None => (names, None),
        };
        let Some((image, why)) = self.refused.first() else {
            if let (Some(wanted), false) = (wanted, programs.images.is_empty()) {
                let lines: Vec<&str> = programs.images.iter().map(|image| image.line.as_str()).collect();
                return Some(MissingSoftware {
                    program: format!("An image of version {wanted}"),
                    purpose: format!("images are known of {} only", lines.join(", ")),
                    install: Some(format!("Name one in the settings under images, as service and {wanted}.")),
                    elsewhere,
                    ..MissingSoftware::default()
                });
            }
            return Some(MissingSoftware {
                program: format!("An image with {}", names.join(", ")),
                purpose: "no public one is known to hold all of them".to_owned(),
                install: Some(
                    "Build one, and name it in the settings under images, as service and release line."
                        .to_owned(),
                ),
                elsewhere,
                ..MissingSoftware::default()
            });
        };
        Some(MissingSoftware {
            program: format!("The image {}", image.reference),
            purpose: why.clone(),
            install: Some(format!(
                "Load it into the engine (`docker load`, `podman load`), or name a mirror or an image of your own for {} in \
                 the settings.",
                image.line
            )),
            elsewhere,
            refused: true,
        })
    }
}

/// Whether a version is, or belongs to, a release line: `8.0.2` to `8.0`, never `80.1` to `8`.
fn belongs(version: &str, line: &str) -> bool {
    version.strip_prefix(line).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Looks at every image; those of a wanted version only, when one is wanted.
async fn offers(
    shared: &Shared,
    engine: &Engine,
    programs: &Programs,
    wanted: Option<&str>,
) -> Result<Offers> {
    let mut found = Offers::default();
    for image in &programs.images {
        let names: Vec<&str> = programs.of(&image.line).iter().map(|(program, _)| *program).collect();
        // What belongs to another line need not be asked for, which may take a registry's time.
        if wanted.is_some_and(|w| !belongs(w, &image.line) && !belongs(&image.line, w)) {
            continue;
        }
        let (line, reference) = (image.line.clone(), image.reference.clone());
        match shared.images.standing(engine, &image.reference).await? {
            Standing::Here(id) => {
                let each = each(names.iter().copied());
                let held = match shared.images.software(engine, &shared.home_id, &id, &each).await {
                    Ok(held) => held,
                    // One image that cannot be looked into says nothing about the others.
                    Err(DriverError::Rejected { what, .. }) => {
                        found.refused.push((image.clone(), what));
                        continue;
                    }
                    Err(e) => return Err(e),
                };
                let held = together(names.iter().copied(), held);
                let judged = match programs.extension {
                    Some(extension) => {
                        let carried =
                            shared.images.extension(engine, &shared.home_id, &id, extension).await?;
                        let judged = judge_extension(image, &names, &held, extension, &carried);
                        found.carriers.extend(judged.iter().flat_map(|v| {
                            carriers(extension, &carried).into_iter().filter(move |c| c.version == *v)
                        }));
                        judged
                    }
                    None => judge(image, &names, &held),
                };
                match judged {
                    Ok(version) => found.offers.push(Offer { version, line, reference, here: true }),
                    Err(why) => found.refused.push((image.clone(), why)),
                }
            }
            // Which version of its line it is shows when it is here.
            Standing::Elsewhere => {
                found.offers.push(Offer { version: line.clone(), line, reference, here: false })
            }
            Standing::Nowhere(why) => found.refused.push((image.clone(), why)),
        }
    }
    Ok(found)
}

/// The version that an image gives, or what is wrong with it.
fn judge(image: &Image, names: &[&str], held: &[Vec<Software>]) -> std::result::Result<String, String> {
    whole(names, held)?;
    let versions = held.first().into_iter().flatten().map(|s| s.version.as_str());
    of_its_line(image, versions.filter(|v| !v.is_empty()))
}

/// The same where what is loaded into the server gives the version.
fn judge_extension(
    image: &Image,
    names: &[&str],
    held: &[Vec<Software>],
    extension: &Extension,
    carried: &[Carried],
) -> std::result::Result<String, String> {
    whole(names, held)?;
    if carried.is_empty() {
        return Err(format!("it does not hold {}", extension.name));
    }
    of_its_line(image, carried.iter().map(|c| c.version.as_str()))
}

/// Sees that every program is there.
fn whole(names: &[&str], held: &[Vec<Software>]) -> std::result::Result<(), String> {
    let lacks: Vec<&str> =
        names.iter().zip(held).filter(|(_, held)| held.is_empty()).map(|(n, _)| *n).collect();
    if lacks.is_empty() { Ok(()) } else { Err(format!("it does not hold {}", lacks.join(", "))) }
}

/// The version that belongs to the line an image is named for.
fn of_its_line<'a>(
    image: &Image,
    mut versions: impl Iterator<Item = &'a str> + Clone,
) -> std::result::Result<String, String> {
    match versions.clone().find(|version| belongs(version, &image.line)) {
        Some(version) => Ok(version.to_owned()),
        None => Err(format!("it holds version {}, not {}", versions.next().unwrap_or("unknown"), image.line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(line: &str) -> Image {
        Image { line: line.to_owned(), reference: format!("x/y:{line}") }
    }

    fn held(versions: &[&str]) -> Vec<Software> {
        let one =
            |v: &&str| Software { program: "s".to_owned(), path: "/s".into(), version: (*v).to_owned() };
        versions.iter().map(one).collect()
    }

    #[test]
    fn an_image_must_hold_every_program_and_the_line_it_is_named_for() {
        assert_eq!(judge(&image("8.0"), &["s"], &[held(&["8.0.2"])]).unwrap(), "8.0.2");
        assert!(
            judge(&image("8.0"), &["s", "t"], &[held(&["8.0.2"]), Vec::new()])
                .unwrap_err()
                .contains("hold t")
        );
        let wrong = judge(&image("8.0"), &["s"], &[held(&["7.0.15"])]).unwrap_err();
        assert_eq!(wrong, "it holds version 7.0.15, not 8.0");
        assert!(!belongs("80.1", "8") && belongs("8.0", "8") && belongs("8.0", "8.0"));
    }

    #[test]
    fn where_no_public_image_holds_all_of_it_an_own_one_is_asked_for() {
        let programs = Programs { programs: vec![("patroni", "runs the servers")], ..Programs::default() };
        let told = Offers::default().why_none(&programs, Some("17.5")).unwrap();
        assert!(told.program.contains("patroni") && told.install.unwrap().contains("settings"));
        let known = Programs { images: vec![image("8.0"), image("7.2")], ..programs };
        let told = Offers::default().why_none(&known, Some("9.9")).unwrap();
        assert!(told.program.contains("9.9") && told.purpose.contains("8.0, 7.2"), "{told:?}");
    }

    #[test]
    fn a_wanted_version_is_taken_where_it_is_and_else_another_of_its_release_line() {
        let offer = |version: &str, line: &str| Offer {
            version: version.to_owned(),
            line: line.to_owned(),
            reference: format!("x/y:{line}"),
            here: true,
        };
        let chosen = |offers: Vec<Offer>, wanted: Option<&str>| {
            let all = Offers { offers, ..Offers::default() };
            all.chosen(wanted).map(|offer| offer.version.clone())
        };
        let pulled = || vec![offer("8.0.5", "8.0"), offer("7.2.4", "7.2")];
        assert_eq!(
            chosen(pulled(), Some("8.0.2")).as_deref(),
            Some("8.0.5"),
            "the name stands for a newer one by now"
        );
        assert_eq!(
            chosen(vec![offer("8.0", "8.0")], Some("8.0.2")).as_deref(),
            Some("8.0"),
            "not fetched yet"
        );
        assert_eq!(chosen(pulled(), Some("9.0.1")), None);
        let own = std::iter::once(offer("8.0.2", "8.0.2")).chain(pulled());
        assert_eq!(
            chosen(own.collect(), Some("8.0.2")).as_deref(),
            Some("8.0.2"),
            "what the cluster runs from"
        );
        assert_eq!(chosen(pulled(), None).as_deref(), Some("8.0.5"));
    }
}
