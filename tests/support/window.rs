//! The real window, driven through WebKit's driver by what a person sees: names of buttons, labels of fields, texts.

use crate::desk::Desk;
use crate::places::program;
use anyhow::{Context as _, Result, bail};
use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long something that needs no server may take to appear.
pub const SOON: Duration = Duration::from_secs(15);
/// How long an operation on servers of this computer may take.
pub const EVENTUALLY: Duration = Duration::from_secs(90);
/// Starting the program, loading the page.
const START: Duration = Duration::from_secs(60);
/// WebDriver has no event for a changed page.
const LOOK: Duration = Duration::from_millis(100);

/// Has the page painted all the time, in a way nobody sees.
const REPAINT: &str = "let on = false; window.repainting = setInterval(() => { \
                       on = !on; document.body.style.opacity = on ? '0.999' : '1' }, 30)";

/// A window of the app.
pub struct Window {
    client: Client,
    shots: Option<PathBuf>,
}

impl Window {
    /// Starts the program at a desk and waits for its page.
    ///
    /// # Errors
    /// When the program is not built or its window does not open.
    pub async fn open(desk: &mut Desk, home: &Path) -> Result<Self> {
        let options = json!({ "binary": program("clusterdeck-desktop")?, "args": [] });
        let capabilities = Capabilities::from_iter([("webkitgtk:browserOptions".to_owned(), options)]);
        let driver = desk.driver(home)?;
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities);
        let client =
            timeout(START, builder.connect(&driver)).await.context("the window did not open in time")??;
        Ok(Self { client, shots: std::env::var_os("CLUSTERDECK_SHOTS").map(PathBuf::from) })
    }

    /// Waits until this text can be seen.
    ///
    /// # Errors
    /// When it does not appear in time; says what is there instead.
    pub async fn see(&self, text: &str, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        loop {
            let page = self.text().await?;
            if page.contains(text) {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("{text:?} did not appear; the page says:\n{page}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until this text is gone.
    ///
    /// # Errors
    /// When it stays.
    pub async fn see_no(&self, text: &str, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        loop {
            let page = self.text().await?;
            if !page.contains(text) {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("{text:?} is still there; the page says:\n{page}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What can be read on the page.
    ///
    /// # Errors
    /// When the window is gone.
    pub async fn text(&self) -> Result<String> {
        let said =
            self.client.execute("return document.body ? document.body.innerText : ''", Vec::new()).await?;
        Ok(said.as_str().unwrap_or_default().to_owned())
    }

    /// Presses a button, link, tab, choice or menu item by its name, once it is there and enabled.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn press(&self, name: &str) -> Result<()> {
        let name = quoted(name);
        let kinds = "self::button or self::a or @role='button' or @role='tab' or @role='radio' or @role='option' \
                     or @role='menuitem' or @role='switch' or @role='checkbox'";
        let named = format!("normalize-space(.)={name} or @aria-label={name}");
        let path = format!(
            "//*[{kinds}][{named}][not(@disabled)][not(@aria-disabled='true')] | //label[normalize-space(.)={name}]"
        );
        self.find(&path, &format!("something to press named {name}")).await?.click().await?;
        Ok(())
    }

    /// Presses the part with this test id, once it is there and enabled. For parts whose name is not theirs alone.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn press_id(&self, id: &str) -> Result<()> {
        let path = format!("//*[@data-testid={}][not(@disabled)][not(@aria-disabled='true')]", quoted(id));
        self.find(&path, &format!("an enabled {id}")).await?.click().await?;
        Ok(())
    }

    /// Waits until an element fits this selector.
    ///
    /// # Errors
    /// When none does in time.
    pub async fn until(&self, selector: &str, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        loop {
            if !self.client.find_all(Locator::Css(selector)).await?.is_empty() {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("nothing fits {selector}; the page says:\n{}", self.text().await?);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Types into a field by its label, replacing what is there.
    ///
    /// # Errors
    /// When there is no such field in time.
    pub async fn fill(&self, label: &str, text: &str) -> Result<()> {
        let label = quoted(label);
        let path = format!(
            "//input[@id=//label[contains(normalize-space(.),{label})]/@for] | //label[contains(normalize-space(.),{label})]//input \
             | //input[@aria-label={label}] | //input[@aria-labelledby=//*[contains(normalize-space(.),{label})]/@id]"
        );
        let field = self.find(&path, &format!("a field labelled {label}")).await?;
        field.clear().await?;
        field.send_keys(text).await?;
        Ok(())
    }

    /// Presses a key.
    ///
    /// # Errors
    /// When nothing has the focus.
    pub async fn key(&self, key: Key) -> Result<()> {
        let focused = self.client.active_element().await?;
        focused.send_keys(&char::from(key).to_string()).await?;
        Ok(())
    }

    /// Runs a script in the page and gives what it returns.
    ///
    /// # Errors
    /// When it throws.
    pub async fn script(&self, script: &str) -> Result<serde_json::Value> {
        Ok(self.client.execute(script, Vec::new()).await?)
    }

    /// Takes a picture when pictures were asked for (`cargo xtask shots`).
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn shot(&self, name: &str) -> Result<()> {
        if let Some(folder) = &self.shots {
            std::fs::create_dir_all(folder)?;
            // WebKit's driver takes the next frame, and a page on which nothing changes has none.
            self.script(REPAINT).await?;
            let picture = timeout(SOON, self.client.screenshot()).await.context("no frame to take")??;
            self.script("clearInterval(window.repainting); document.body.style.opacity = ''").await?;
            std::fs::write(folder.join(format!("{name}.png")), picture)?;
        }
        Ok(())
    }

    /// Closes the window and ends the program.
    ///
    /// # Errors
    /// When it is gone already.
    pub async fn close(self) -> Result<()> {
        self.client.close().await?;
        Ok(())
    }

    async fn find(&self, path: &str, what: &str) -> Result<Element> {
        let until = Instant::now() + SOON;
        loop {
            for element in self.client.find_all(Locator::XPath(path)).await? {
                // One that is just being replaced is none.
                if element.is_displayed().await.unwrap_or(false) {
                    return Ok(element);
                }
            }
            if Instant::now() > until {
                bail!("there is not {what}; the page says:\n{}", self.text().await?);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// A text as an XPath literal. Names of ours hold no double quotes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', ""))
}
