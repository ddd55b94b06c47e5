//! The plugin: what the runtime exec's for every pod.

use std::io::{self, Write as _};
use std::process::ExitCode;

use ch4_full_policy::{
    add,
    args::Request,
    check,
    config::{self, NetConf, Network},
    del,
    error::CniError,
    gc, status, version,
};
use serde_json::Value;

fn main() -> ExitCode {
    let input = config::read(io::stdin());
    let asked = version::asked_for(&input);
    let (answer, code) = match answer(input, &asked) {
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some(result)) => (result, ExitCode::SUCCESS),
        Err(error) => (error.to_json(&asked), ExitCode::FAILURE),
    };
    // An answer that nobody reads is a failure: the runtime will call DEL.
    match io::stdout().write_all(format!("{answer:#}\n").as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

fn answer(input: Result<Value, CniError>, asked: &str) -> Result<Option<Value>, CniError> {
    let Some(request) = Request::from_env(|name| std::env::var_os(name))? else {
        return Ok(Some(version::report(asked)));
    };
    // #region answer
    let conf = input?;
    config::version(&conf)?.allows(&request)?;
    let silent = |()| None;
    match &request {
        Request::Add { attachment, netns } => {
            add::add(&NetConf::parse(conf)?, attachment, netns).map(Some)
        }
        Request::Check { attachment, netns } => {
            check::check(&NetConf::parse(conf)?, attachment, netns).map(silent)
        }
        // Also with a configuration that ADD refuses: else the pod could never go.
        Request::Del { attachment } => {
            del::del(Network::parse(&conf).ok().as_ref(), attachment).map(silent)
        }
        Request::Gc => gc::gc(&NetConf::parse(conf)?).map(silent),
        Request::Status => status::status(&NetConf::parse(conf)?).map(silent),
    }
    // #endregion answer
}
