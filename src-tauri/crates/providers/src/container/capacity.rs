//! What an engine can carry: room, and which versions its images give.

use super::{
    engines::{Engine, Whereabouts},
    images::Standing,
    plans,
    shared::Shared,
};
use crate::{
    host,
    version::{carriers, newest_first, numbers},
};
use clusterdeck_domain::{Capacity, Carrier, MissingSoftware};
use clusterdeck_driver::{Carried, Extension, Image, Needs, Programs, Result, Software};
use std::path::Path;

/// See [`clusterdeck_driver::Provider::capacity`]. `promised` is the memory of the machines that the engine has.
pub(super) async fn of(
    shared: &Shared,
    engine: &Engine,
    needs: &Needs<'_>,
    promised: u64,
) -> Result<Capacity> {
    let server = offers(shared, engine, &needs.server, needs.version).await?;
    let gateway = offers(shared, engine, &needs.gateway, None).await?;
    let mut missing = Vec::new();
    let mut to_fetch = Vec::new();
    for (offered, programs) in [(&server, &needs.server), (&gateway, &needs.gateway)] {
        match offered.chosen(if std::ptr::eq(offered, &server) { needs.version } else { None }) {
            Some(offer) if !offer.here => to_fetch.push(format!("The image {}", offer.reference)),
            Some(_) => {}
            None => missing.extend(offered.why_none(programs)),
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
        carriers,
        region: Some(engine.id.clone()),
        to_fetch,
        instead: None,
    })
}

/// A version that can be had.
struct Offer {
    version: String,
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
    /// The offer for a wanted version, else the newest.
    fn chosen(&self, wanted: Option<&str>) -> Option<&Offer> {
        let fits = |offer: &&Offer| wanted.is_none_or(|wanted| belongs(&offer.version, wanted));
        self.offers.iter().filter(fits).max_by_key(|offer| numbers(&offer.version))
    }

    /// What to tell when nothing can be had: the image that would have been taken, and why it was not.
    fn why_none(&self, programs: &Programs) -> Option<MissingSoftware> {
        let names: Vec<&str> = programs.programs.iter().map(|(program, _)| *program).collect();
        if names.is_empty() {
            return None;
        }
        let (names, elsewhere) = match programs.extension {
            Some(extension) => ([names, vec![extension.name]].concat(), Some(extension.elsewhere.to_owned())),
            None => (names, None),
        };
        let Some((image, why)) = self.refused.first() else {
            return Some(MissingSoftware {
                program: format!("An image with {}", names.join(", ")),
                purpose: "no public one is known to hold all of them".to_owned(),
                install: Some(
                    "Build one, and name it in the settings under images, as service and release line."
                        .to_owned(),
                ),
                elsewhere,
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
        match shared.images.standing(engine, &image.reference).await? {
            Standing::Here(id) => {
                let held = shared.images.software(engine, &shared.home_id, &id, &names).await?;
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
                    Ok(version) => {
                        found.offers.push(Offer { version, reference: image.reference.clone(), here: true })
                    }
                    Err(why) => found.refused.push((image.clone(), why)),
                }
            }
            // Which version of its line it is shows when it is here.
            Standing::Elsewhere => found.offers.push(Offer {
                version: image.line.clone(),
                reference: image.reference.clone(),
                here: false,
            }),
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
        let told = Offers::default().why_none(&programs).unwrap();
        assert!(told.program.contains("patroni") && told.install.unwrap().contains("settings"));
    }
}
