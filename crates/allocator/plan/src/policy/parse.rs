//! From the text of a policy to a valid [`Policy`], or to an error that shows the line.

use super::raw::{
    Bytes, RawApp, RawCpu, RawEvent, RawMemory, RawModeOnly, RawPolicy, RawPool, RawRules, RawStrategy,
};
use super::{AppRule, Match, Policy, Pool, Rules, Strategy};
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use std::collections::BTreeMap;
use std::ops::Range as Span;
use std::sync::Arc;
use tidegate_types::{AppName, Class, DeclaredEvent, Mode, Range, Resource};
use toml::Spanned;

/// More cores than any host has; a larger number is a typing error.
const MOST_CORES: f64 = 16_384.0;
/// A limit below this cannot be written to the kernel (a quota is at least 1 ms of each 100 ms).
const LEAST_CORES: f64 = 0.01;

/// Why a text is no policy. Its `Display` shows the line with carets under the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rendered}")]
pub struct PolicyError {
    /// In words, without the place.
    pub message: String,
    /// What to write instead, where one can say.
    pub help: Option<String>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// All of it as shown to people.
    pub rendered: String,
}

/// What is wrong, and where in the text.
struct Fault {
    span: Span<usize>,
    message: String,
    help: Option<String>,
}

impl Fault {
    fn new(span: Span<usize>, message: String) -> Self {
        Self {
            span,
            message,
            help: None,
        }
    }

    fn with_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }
}

/// Reads a policy; `file_name` is only shown in errors and findings.
pub fn parse(text: &str, file_name: &str) -> Result<Policy, PolicyError> {
    let raw: RawPolicy =
        toml::from_str(text).map_err(|error| render(text, file_name, syntax_fault(text, &error)))?;
    build(text, file_name, raw).map_err(|fault| render(text, file_name, fault))
}

fn render(text: &str, file_name: &str, fault: Fault) -> PolicyError {
    let Fault { span, message, help } = fault;
    let (line, column) = place(text, span.start);
    let shown = whole_characters(text, &span);
    let snippet = Snippet::source(text)
        .path(file_name)
        .annotation(AnnotationKind::Primary.span(shown));
    let mut group = Level::ERROR.primary_title(&*message).element(snippet);
    if let Some(help) = &help {
        group = group.element(Level::HELP.message(&**help));
    }
    let rendered = Renderer::plain().render(&[group]);
    PolicyError {
        message,
        help,
        line,
        column,
        rendered,
    }
}

/// `span`, moved to whole characters within the text; an empty one shows the character that it stands before.
fn whole_characters(text: &str, span: &Span<usize>) -> Span<usize> {
    let start = text.floor_char_boundary(span.start);
    let end = text.ceil_char_boundary(span.end.max(start));
    if start < end {
        return start..end;
    }
    let first = text[start..].chars().next().map_or(0, char::len_utf8);
    start..start + first
}

fn place(text: &str, offset: usize) -> (u32, u32) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line as u32, column as u32)
}

fn syntax_fault(text: &str, error: &toml::de::Error) -> Fault {
    let span = error.span().unwrap_or(0..0);
    let message = error.message().trim().to_owned();
    let Some(rest) = message.strip_prefix("unknown ") else {
        return Fault::new(span, message);
    };
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let unknown = quoted.next().unwrap_or("").to_owned();
    let known: Vec<&str> = quoted.collect();
    let kind = rest
        .split_whitespace()
        .next()
        .unwrap_or("field")
        .replace("field", "key")
        .replace("variant", "value");
    let span = narrow(text, span, &unknown);
    let help = did_you_mean(&unknown, &known);
    Fault::new(span, format!("unknown {kind} `{unknown}`")).with_help(Some(help))
}

/// The part of `span` that is the word itself.
fn narrow(text: &str, span: Span<usize>, word: &str) -> Span<usize> {
    let within = text.get(span.clone()).and_then(|part| part.find(word));
    within.map_or(span.clone(), |start| {
        span.start + start..span.start + start + word.len()
    })
}

fn did_you_mean(unknown: &str, known: &[&str]) -> String {
    let scored = known
        .iter()
        .map(|word| (strsim::jaro_winkler(unknown, word), *word));
    let best = scored.max_by(|left, right| left.0.total_cmp(&right.0));
    match best {
        Some((likeness, word)) if likeness > 0.75 => format!("did you mean `{word}`?"),
        _ => format!("what can stand here: {}", known.join(", ")),
    }
}

fn build(text: &str, file_name: &str, raw: RawPolicy) -> Result<Policy, Fault> {
    let apps = app_rules(text, raw.app)?;
    let default = raw.default;
    let sections = RawRules {
        mode: default.mode,
        cpu: default.cpu,
        memory: default.memory,
        io: default.io,
        network: default.network,
        code: default.code,
    };
    let mut classes = BTreeMap::new();
    for (class, rules) in [
        (Class::Critical, raw.class.critical),
        (Class::Standard, raw.class.standard),
        (Class::Batch, raw.class.batch),
    ] {
        if let Some(rules) = rules {
            classes.insert(class, rules_of(rules)?);
        }
    }
    Ok(Policy {
        default: rules_of(sections)?,
        default_class: default.class.unwrap_or_default(),
        classes,
        pools: pools(text, raw.pool, &apps)?,
        events: events(raw.event, &apps)?,
        apps,
        strategy: strategy(raw.strategy)?,
        mode_ceiling: None,
        protected: BTreeMap::new(),
        file: Arc::from(file_name),
    })
}

fn app_rules(text: &str, raw: Vec<RawApp>) -> Result<Vec<AppRule>, Fault> {
    let mut rules: Vec<AppRule> = Vec::new();
    for app in raw {
        let span = app.name.span();
        let name: Arc<str> = Arc::from(app.name.into_inner());
        if name.is_empty() {
            return Err(Fault::new(span, "an app needs a name".into()));
        }
        if let Some(first) = rules.iter().find(|rule| rule.name == name) {
            let message = format!("`{name}` is already the app of line {}", first.line);
            return Err(Fault::new(span, message));
        }
        let sections = RawRules {
            mode: app.mode,
            cpu: app.cpu,
            memory: app.memory,
            io: app.io,
            network: app.network,
            code: app.code,
        };
        rules.push(AppRule {
            line: place(text, span.start).0,
            matches: matches_of(app.matches)?,
            class: app.class,
            rules: rules_of(sections)?,
            name,
        });
    }
    Ok(rules)
}

fn matches_of(raw: Option<Spanned<super::raw::RawMatch>>) -> Result<Match, Fault> {
    let Some(raw) = raw else {
        return Ok(Match::default());
    };
    let span = raw.span();
    let raw = raw.into_inner();
    if let Some(cgroup) = raw
        .cgroup
        .as_ref()
        .filter(|glob| !glob.get_ref().starts_with('/'))
    {
        let message = format!("`{}` is not a group's path", cgroup.get_ref());
        let help = "a path starts with `/` below the mount point, such as \"/system.slice/web*\"";
        return Err(Fault::new(cgroup.span(), message).with_help(Some(help.into())));
    }
    let matches = Match {
        cgroup: raw.cgroup.map(|glob| Arc::from(glob.into_inner())),
        unit: raw.unit.map(Arc::from),
        executable: raw.executable.map(Arc::from),
        user: raw.user.map(Arc::from),
    };
    if matches == Match::default() {
        let help = "give one of cgroup, unit, executable, user";
        return Err(Fault::new(span, "this matches nothing".into()).with_help(Some(help.into())));
    }
    Ok(matches)
}

fn rules_of(raw: RawRules) -> Result<Rules, Fault> {
    let cpu = raw.cpu.unwrap_or_default();
    let memory = raw.memory.unwrap_or_default();
    let only = |section: Option<RawModeOnly>| section.and_then(|section| section.mode);
    let modes: [(Resource, Option<Mode>); 5] = [
        (Resource::Cpu, cpu.mode),
        (Resource::Memory, memory.mode),
        (Resource::Io, only(raw.io)),
        (Resource::Network, only(raw.network)),
        (Resource::Code, only(raw.code)),
    ];
    let said = modes
        .into_iter()
        .filter_map(|(resource, mode)| Some((resource, mode?)));
    Ok(Rules {
        mode: raw.mode,
        modes: said.collect(),
        cpu_cores: cpu_range(&cpu)?,
        memory_bytes: memory_range(&memory)?,
    })
}

fn cpu_range(raw: &RawCpu) -> Result<Range, Fault> {
    let cores = |value: &Option<Spanned<f64>>| {
        value
            .as_ref()
            .map(|value| within(value, LEAST_CORES, MOST_CORES, " cores"))
    };
    let floor = cores(&raw.floor).transpose()?;
    let ceiling = cores(&raw.ceiling).transpose()?;
    let at = raw.ceiling.as_ref().map(Spanned::span);
    ordered(Range { floor, ceiling }, at, "cores")
}

fn memory_range(raw: &RawMemory) -> Result<Range, Fault> {
    let bytes = |value: &Option<Spanned<Bytes>>| value.as_ref().map(|value| value.get_ref().0);
    for value in [&raw.floor, &raw.ceiling].into_iter().flatten() {
        if value.get_ref().0 < 0.0 {
            return Err(Fault::new(value.span(), "a size cannot be negative".into()));
        }
    }
    let range = Range {
        floor: bytes(&raw.floor),
        ceiling: bytes(&raw.ceiling),
    };
    ordered(range, raw.ceiling.as_ref().map(Spanned::span), "bytes")
}

fn ordered(range: Range, at: Option<Span<usize>>, unit: &str) -> Result<Range, Fault> {
    match (range.floor, range.ceiling) {
        (Some(floor), Some(ceiling)) if ceiling < floor => {
            let message = format!("the ceiling of {ceiling} {unit} is below the floor of {floor} {unit}");
            Err(Fault::new(at.unwrap_or(0..0), message))
        }
        _ => Ok(range),
    }
}

fn within(value: &Spanned<f64>, least: f64, most: f64, unit: &str) -> Result<f64, Fault> {
    let number = *value.get_ref();
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    let message = format!("{number} is out of range: {least} to {most}{unit}");
    Err(Fault::new(value.span(), message))
}

fn pools(text: &str, raw: Vec<RawPool>, apps: &[AppRule]) -> Result<Vec<Pool>, Fault> {
    let mut pools: Vec<Pool> = Vec::new();
    for pool in raw {
        let super::raw::PoolResource::Cpu = pool.resource;
        let line = place(text, pool.name.span().start).0;
        if pool.apps.get_ref().len() < 2 {
            return Err(Fault::new(
                pool.apps.span(),
                "a pool needs at least two apps".into(),
            ));
        }
        let mut members = Vec::new();
        for member in pool.apps.into_inner() {
            known_app(&member, apps)?;
            let taken = pools
                .iter()
                .find(|other| other.apps.iter().any(|name| **name == **member.get_ref()));
            if let Some(other) = taken {
                let message = format!("`{}` is already in pool `{}`", member.get_ref(), other.name);
                return Err(Fault::new(member.span(), message));
            }
            members.push(Arc::from(member.into_inner()));
        }
        pools.push(Pool {
            name: Arc::from(pool.name.into_inner()),
            apps: members,
            cores: within(&pool.cores, LEAST_CORES, MOST_CORES, " cores")?,
            line,
        });
    }
    Ok(pools)
}

fn known_app(name: &Spanned<String>, apps: &[AppRule]) -> Result<(), Fault> {
    if apps.iter().any(|rule| *rule.name == **name.get_ref()) {
        return Ok(());
    }
    let known: Vec<&str> = apps.iter().map(|rule| &*rule.name).collect();
    let help = did_you_mean(name.get_ref(), &known);
    Err(Fault::new(
        name.span(),
        format!("there is no [[app]] called `{}`", name.get_ref()),
    )
    .with_help(Some(help)))
}

fn events(raw: Vec<RawEvent>, apps: &[AppRule]) -> Result<Vec<DeclaredEvent>, Fault> {
    raw.into_iter().map(|event| declared(event, apps)).collect()
}

fn declared(raw: RawEvent, apps: &[AppRule]) -> Result<DeclaredEvent, Fault> {
    known_app(&raw.app, apps)?;
    let at: jiff::Timestamp = raw.at.get_ref().to_string().parse().map_err(|_| {
        let help = "write date, time and zone, such as 2026-12-01T09:00:00Z";
        Fault::new(raw.at.span(), "this is not an instant".into()).with_help(Some(help.into()))
    })?;
    let cores = raw
        .cores
        .as_ref()
        .map(|cores| within(cores, LEAST_CORES, MOST_CORES, " cores"));
    Ok(DeclaredEvent {
        name: Arc::from(raw.name),
        app: AppName::new(raw.app.get_ref()),
        at_utc_ms: at.as_millisecond(),
        duration_s: seconds(&raw.duration)?,
        every_s: raw.every.as_ref().map(seconds).transpose()?,
        cores: cores.transpose()?,
    })
}

fn seconds(value: &Spanned<String>) -> Result<f64, Fault> {
    let parsed = value.get_ref().parse::<jiff::SignedDuration>();
    let parsed = parsed
        .ok()
        .map(|duration| duration.as_secs_f64())
        .filter(|seconds| *seconds > 0.0);
    parsed.ok_or_else(|| {
        let message = format!("`{}` is not a duration", value.get_ref());
        Fault::new(value.span(), message)
            .with_help(Some("write it such as \"90s\", \"10m\" or \"1h 30m\"".into()))
    })
}

fn strategy(raw: RawStrategy) -> Result<Strategy, Fault> {
    let standard = Strategy::default();
    let share = |value: Option<Spanned<f64>>, standard: f64| {
        value.map_or(Ok(standard), |value| within(&value, 0.0, 1.0, ""))
    };
    Ok(Strategy {
        kind: raw.kind.unwrap_or_default(),
        act_probability: share(raw.act_probability, standard.act_probability)?,
        min_confidence: share(raw.min_confidence, standard.min_confidence)?,
        left_alone_share: share(raw.left_alone_share, standard.left_alone_share)?,
        headroom: raw
            .headroom
            .map_or(Ok(standard.headroom), |value| within(&value, 1.0, 10.0, ""))?,
        standing_weights: raw.standing_weights.unwrap_or(standard.standing_weights),
    })
}
