//! Schools and templates from a file into the database: all of them or none.

use std::path::Path;

use super::{ChangeError, Configuration, Written, noted, write::Change};
use crate::{
    operator::Actor,
    settings::{Imported, import_from},
};

impl Configuration {
    /// Takes in the schools and templates of a file: TOML as in the settings file, or a list in CSV, which its name says.
    /// Each becomes a first version that rules at once.
    ///
    /// # Errors
    /// Returns an error with all problems of the file, or if the file or the database has one of them already. Then
    /// nothing was taken in.
    pub async fn import(
        &mut self,
        path: &Path,
        actor: &Actor,
    ) -> Result<(Vec<Written>, Vec<crate::settings::Hint>), ChangeError> {
        let settings = self.layers.settings();
        let Imported { bodies, hints } =
            import_from(&settings, path, |key| self.layers.owner(key))?;
        let changes = bodies
            .into_iter()
            .map(|body| Change {
                activate: true,
                is_new: true,
                ..Change::text(&body.key, &body.text, None)
            })
            .collect();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let actor = noted(actor, &format!("imported from {name}"));
        Ok((self.write(changes, &actor).await?, hints))
    }
}
