//! Maps of another chapter, or of another build, that are laid out otherwise than ours. Ours are made
//! beside them and take their pins; the programs that are attached go on with what they had until the
//! agent has filled ours and puts our programs in their place.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use libbpf_rs::{MapCore as _, MapHandle, OpenMapMut, OpenObject};

use super::load::{FROM_POD, map_ids, program_at};
use crate::maps::GLOBALS;

/// Where maps were pinned beside others, and whose place they take.
#[derive(Debug, Default)]
pub struct Beside(Vec<[PathBuf; 2]>);

impl Beside {
    /// libbpf takes over the maps that are pinned already, if they are laid out as ours. Others it
    /// must not find.
    ///
    /// # Errors
    /// Such a map is not our programs': it is not ours to replace.
    pub fn make_room(object: &mut OpenObject) -> Result<Self> {
        let theirs = match program_at(FROM_POD, "from_pod")? {
            Some(program) => map_ids(&program)?,
            None => Vec::new(),
        };
        let mut beside = Vec::new();
        for mut map in object.maps_mut() {
            let pin = Path::new(GLOBALS).join(map.name());
            let Ok(pinned) = MapHandle::from_pinned_path(&pin) else { continue };
            if is_alike(&map, &pinned) {
                continue;
            }
            ensure!(
                theirs.contains(&pinned.info()?.info.id),
                "a pinned map has another layout than this build's; run: rm -r {GLOBALS} (pods keep \
                 the last policies until the agent has filled new maps): {}",
                pin.display()
            );
            let new = Path::new(GLOBALS).join(format!("{}-new", map.name().display()));
            let _ = fs::remove_file(&new); // of a plugin that was killed here
            map.set_pin_path(&new)?;
            beside.push([new, pin]);
        }
        Ok(Self(beside))
    }

    /// They take the others' pins, each in one step.
    pub fn take_pins(self) -> Result<()> {
        for [new, pin] in self.0 {
            fs::rename(&new, &pin)
                .with_context(|| format!("cannot rename {} to {}", new.display(), pin.display()))?;
        }
        Ok(())
    }
}

fn is_alike(ours: &OpenMapMut<'_>, pinned: &MapHandle) -> bool {
    (ours.map_type(), ours.key_size(), ours.value_size(), ours.max_entries())
        == (pinned.map_type(), pinned.key_size(), pinned.value_size(), pinned.max_entries())
}
