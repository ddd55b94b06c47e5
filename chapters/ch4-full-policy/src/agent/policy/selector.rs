//! Label selectors (`labels.Selector` of apimachinery): which labels does a selector match?

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};

use crate::agent::objects::spec::{Expression, LabelSelector};
use crate::api::Labels;

/// A checked selector. Without requirements it matches everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    In(Arc<BTreeSet<String>>),
    NotIn(Arc<BTreeSet<String>>),
    Exists,
    DoesNotExist,
}

impl Selector {
    /// Matches everything.
    pub const EVERYTHING: Self = Self(Vec::new());

    /// Checks a selector. An error names what is not understood: to pass over it would make the
    /// selector match more than was meant.
    pub fn parse(selector: &LabelSelector) -> Result<Self> {
        if let Some(unknown) = selector.unknown.keys().next() {
            bail!("{unknown:?} is no field of a selector");
        }
        let exact = selector.match_labels.iter().flatten().map(|(key, value)| {
            let values = Arc::new(BTreeSet::from([value.clone()]));
            Ok(Requirement { key: key.clone(), operator: Operator::In(values) })
        });
        let expressions = selector.match_expressions.iter().flatten().map(Requirement::parse);
        exact.chain(expressions).collect::<Result<_>>().map(Self)
    }

    /// The same, and an absent one is as good as an empty one.
    pub fn parse_or_all(selector: Option<&LabelSelector>) -> Result<Self> {
        selector.map_or(Ok(Self::EVERYTHING), Self::parse)
    }

    /// Do all requirements hold?
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.holds(labels))
    }

    /// The requirements that do not hold, in words.
    pub fn unmet(&self, labels: &Labels) -> Vec<String> {
        let unmet = self.0.iter().filter(|requirement| !requirement.holds(labels));
        let says = |requirement: &Requirement| match labels.get(&requirement.key) {
            Some(value) => format!("{requirement}, and is {value:?}"),
            None => format!("{requirement}, and is not there"),
        };
        unmet.map(says).collect()
    }

    /// The labels that it asks about.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|requirement| requirement.key.as_str())
    }
}

impl Requirement {
    fn parse(expression: &Expression) -> Result<Self> {
        if let Some(unknown) = expression.unknown.keys().next() {
            bail!("{unknown:?} is no field of a requirement");
        }
        let values = expression.values.clone().unwrap_or_default();
        let (key, operator) = (&expression.key, expression.operator.as_str());
        let operator = match operator {
            "In" => Operator::In(values),
            "NotIn" => Operator::NotIn(values),
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            other => {
                bail!("operator {other:?} of {key:?} is none of In, NotIn, Exists, DoesNotExist")
            }
        };
        match &operator {
            Operator::In(values) | Operator::NotIn(values) => {
                ensure!(
                    !values.is_empty(),
                    "operator {:?} of {key:?} needs values",
                    expression.operator
                );
            }
            _ => ensure!(
                expression.values.as_ref().is_none_or(|values| values.is_empty()),
                "operator {:?} of {key:?} takes no values",
                expression.operator
            ),
        }
        Ok(Self { key: key.clone(), operator })
    }

    // #region holds
    /// NotIn and DoesNotExist hold also where the label is not there at all.
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
    // #endregion holds
}

/// In words: `app must be frontend, env must be there`.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        write!(f, "{}", if all.is_empty() { "all".into() } else { all.join(", ") })
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.operator {
            Operator::In(values) => write!(f, "{key} must be {}", any_of(values)),
            Operator::NotIn(values) => write!(f, "{key} must not be {}", any_of(values)),
            Operator::Exists => write!(f, "{key} must be there"),
            Operator::DoesNotExist => write!(f, "{key} must not be there"),
        }
    }
}

/// Values in words, no more than one reads.
fn any_of(values: &BTreeSet<String>) -> String {
    const MANY: usize = 10;
    let mut some: Vec<_> = values.iter().take(MANY).cloned().collect();
    if values.len() > MANY {
        some.push(format!("one of {} more", values.len() - MANY));
    }
    some.join(" or ")
}
