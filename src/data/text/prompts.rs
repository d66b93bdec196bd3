//! Class names into prompts: how CLIP is asked about classes it was never trained on.
//!
//! A class name is put into one or many templates, and the text features of a class's prompts are averaged (Radford
//! et al. 2021, section 3.1.4, <https://arxiv.org/abs/2103.00020>). The 80 templates are OpenAI's for ImageNet, as open_clip's
//! `zero_shot_metadata.py` lists them, in that order (MIT).

use crate::error::{Error, Result};

/// Where the class name goes.
const PLACE: &str = "{}";
const OPENAI_IMAGENET: &str = include_str!("../../../data_manifests/embedded/openai_imagenet_templates.txt");

/// Templates, each with one `{}` for the class name.
///
/// ```
/// use wider_clip::text::Templates;
///
/// let templates = Templates::new(["a photo of a {}.", "an aerial view of a {}."])?;
/// let prompts = templates.prompts(&["golf_course", "Harbour"])?;
/// assert_eq!(prompts[1], "an aerial view of a golf course.");
/// assert_eq!(prompts[2], "a photo of a Harbour.");
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Templates {
    templates: Vec<String>,
}

impl Templates {
    /// Templates of one's own.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is none, or if one does not hold `{}` exactly once.
    pub fn new<S: Into<String>>(templates: impl IntoIterator<Item = S>) -> Result<Templates> {
        let templates: Vec<String> = templates.into_iter().map(Into::into).collect();
        if templates.is_empty() {
            return Err(Error::argument("templates", "at least one", "none"));
        }
        match templates.iter().find(|template| template.matches(PLACE).count() != 1) {
            Some(template) => Err(Error::argument("templates", "one {} in each", format!("`{template}`"))),
            None => Ok(Templates { templates }),
        }
    }

    /// The one template `a photo of a {}.`
    pub fn photo() -> Templates {
        Templates { templates: vec!["a photo of a {}.".into()] }
    }

    /// OpenAI's 80 templates for ImageNet, from `a bad photo of a {}.` to `a tattoo of the {}.`
    pub fn openai_imagenet() -> Templates {
        Templates { templates: OPENAI_IMAGENET.lines().map(String::from).collect() }
    }

    /// How many prompts a class gets, T; never 0.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.templates.len()
    }

    /// The templates in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.templates.iter().map(String::as_str)
    }

    /// The prompts of all classes, K * T of them: first all templates with the first class, then the second, so that
    /// their features reshape to (K, T, D). Names are cleaned by [`class_name`].
    ///
    /// # Errors
    /// [`Error::Argument`] for a name with nothing in it.
    pub fn prompts<S: AsRef<str>>(&self, classes: &[S]) -> Result<Vec<String>> {
        let mut prompts = Vec::with_capacity(classes.len() * self.len());
        for (i, class) in classes.iter().enumerate() {
            let name = class_name(class.as_ref());
            if name.is_empty() {
                return Err(Error::argument("class names", "a name", format!("`{}` as class {i}", class.as_ref())));
            }
            prompts.extend(self.iter().map(|template| template.replacen(PLACE, &name, 1)));
        }
        Ok(prompts)
    }
}

/// A class name as it is read aloud: `_` becomes a blank, runs of white space one, none at the ends. Letters keep
/// their case: the tokenizer makes them small.
///
/// ```
/// assert_eq!(wider_clip::text::class_name(" golf__course\t"), "golf course");
/// assert_eq!(wider_clip::text::class_name("great white shark"), "great white shark");
/// ```
pub fn class_name(name: &str) -> String {
    name.split(|c: char| c == '_' || c.is_whitespace()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}
