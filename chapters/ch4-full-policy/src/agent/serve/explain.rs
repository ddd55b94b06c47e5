//! Why may, or may not, one talk to another? In the policies' own words.

use std::net::Ipv4Addr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::side::{Side, side};
use crate::agent::owners::identity::{HOST, WORLD};
use crate::agent::policy::network_policy::Policy;
use crate::agent::policy::ports::PortSet;
use crate::api::SecurityLabels;
use crate::maps::Direction;

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowEnd {
    /// A pod as `namespace/name`, or an address.
    pub name: String,
    /// Its identity.
    pub identity: u32,
    /// Neither the node nor the world has one.
    pub address: Option<Ipv4Addr>,
    /// What the identity stands for; none for the host and the world.
    pub labels: Option<SecurityLabels>,
}

/// What somebody wants of the destination: a port of a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// The IP protocol's number.
    pub protocol: u8,
    /// Protocols without ports have none.
    pub port: Option<u16>,
}

/// What the policies say of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// May it be?
    pub allowed: bool,
    /// If nobody asked for a port, and it is not all: by which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<String>,
    /// In a sentence.
    pub why: String,
    /// The policies that isolate one of the two, in the direction that decides.
    pub isolated_by: Vec<String>,
    /// The rules that allow it: policy and place.
    pub allowed_by: Vec<String>,
    /// The rule that comes next to allowing it, and what it lacks.
    pub nearest_miss: Option<String>,
}

/// Answers from the policies alone; the maps may not have caught up. Without a wish: by any port?
pub fn explain(
    policies: &[Arc<Policy>],
    source: &FlowEnd,
    destination: &FlowEnd,
    wish: Option<Wish>,
) -> Explanation {
    let allow = |why: &str| Explanation { allowed: true, why: why.into(), ..Default::default() };
    if source.identity == HOST {
        return allow("the node always reaches its own pods");
    }
    if source == destination {
        return allow("a pod always reaches itself");
    }
    let side = |direction| side(policies, source, destination, wish, direction);
    // What the source may not ask for, nobody asks the destination.
    let (egress, ingress) = (side(Direction::Egress), side(Direction::Ingress));
    for (direction, side) in [(Direction::Egress, &egress), (Direction::Ingress, &ingress)] {
        if let Some(side) = side.as_ref().filter(|side| side.ports.is_empty()) {
            return deny(source, destination, direction, side);
        }
    }
    let both: Vec<_> = [egress, ingress].into_iter().flatten().collect();
    let mut ports = PortSet::ALL;
    both.iter().for_each(|side| ports = ports.common(&side.ports));
    let isolated_by: Vec<_> = both.iter().flat_map(|side| side.isolated_by.clone()).collect();
    let allowed_by: Vec<_> = both.iter().flat_map(|side| side.allowed_by.clone()).collect();
    if ports.is_empty() {
        let (egress, ingress) = (&both[0].ports, &both[1].ports);
        let why = format!(
            "{} may ask by {egress}, and {} takes {ingress}",
            source.name, destination.name
        );
        return Explanation { why, isolated_by, allowed_by, ..Default::default() };
    }
    let why = match allowed_by.as_slice() {
        [] if destination.identity == WORLD || destination.identity == HOST => {
            "nothing isolates what is no pod".into()
        }
        [] => format!("no policy isolates {} for ingress", destination.name),
        [one] => format!("{one} allows it"),
        [first, second, ..] if both.len() == 2 && both[0].allowed_by.len() == 1 => {
            format!("{first} and {second} allow it")
        }
        [first, ..] => format!("{first} allows it"),
    };
    let ports = (wish.is_none() && !ports.is_all()).then(|| ports.to_string());
    Explanation { allowed: true, ports, why, isolated_by, allowed_by, nearest_miss: None }
}

/// One of the two is isolated, and no rule is for it.
fn deny(source: &FlowEnd, destination: &FlowEnd, direction: Direction, side: &Side) -> Explanation {
    let why = match direction {
        Direction::Egress => format!(
            "{} is isolated for egress, and no rule lets it out to {}",
            source.name, destination.name
        ),
        Direction::Ingress => format!(
            "{} is isolated for ingress, and no rule lets {} in",
            destination.name, source.name
        ),
    };
    Explanation {
        why,
        isolated_by: side.isolated_by.clone(),
        nearest_miss: side.nearest_miss.clone(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests;
