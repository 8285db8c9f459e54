//! The words of spans, in one place: OpenTelemetry's where it has one, ours where it has none.
//!
//! `gen_ai.*` follows the semantic conventions for generative AI, "Execute tool span", whose status is Development: when
//! they change, this file changes. What a call acts on, its path, its headers, its intent and its body have no word here.

/// What a span's name begins with, and the name of the operation (`gen_ai.operation.name`).
pub const EXECUTE_TOOL: &str = "execute_tool";

/// The name of the span that a task's calls follow from.
pub const OPEN_TASK: &str = "open_task";

/// A key of a span, a link or the resource.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Attribute {
    /// What kind of operation it is.
    Operation,
    /// The action.
    Tool,
    /// What kind of tool it is.
    ToolType,
    /// The call.
    Call,
    /// Who asks.
    Agent,
    /// The task.
    Conversation,
    /// The code, if it was refused or failed.
    Error,
    /// The method.
    Method,
    /// The tool's host.
    Server,
    /// The tool's answer.
    Status,
    /// What was decided.
    Decision,
    /// The rules that decided.
    Rules,
    /// What the action does to the world.
    Effect,
    /// Who lent a credential.
    Issuer,
    /// How it ended.
    Ending,
    /// Bytes of the answer.
    Bytes,
}

impl Attribute {
    /// Every one, in the order of the documentation.
    pub const ALL: [Self; 16] = [
        Self::Operation,
        Self::Tool,
        Self::ToolType,
        Self::Call,
        Self::Agent,
        Self::Conversation,
        Self::Error,
        Self::Method,
        Self::Server,
        Self::Status,
        Self::Decision,
        Self::Rules,
        Self::Effect,
        Self::Issuer,
        Self::Ending,
        Self::Bytes,
    ];

    /// As it is sent.
    pub const fn name(self) -> &'static str {
        self.entry().0
    }

    /// What it says.
    pub const fn help(self) -> &'static str {
        self.entry().1
    }

    const fn entry(self) -> (&'static str, &'static str) {
        match self {
            Self::Operation => ("gen_ai.operation.name", "`execute_tool`."),
            Self::Tool => ("gen_ai.tool.name", "The action's full name, `TOOL/ACTION`, once the call is understood."),
            Self::ToolType => ("gen_ai.tool.type", "`extension`: the tool is called on the agent's side."),
            Self::Call => ("gen_ai.tool.call.id", "The call's id, as in `Countersign-Call` and the lineage."),
            Self::Agent => ("gen_ai.agent.name", "The agent's name in the configuration, once it is proven."),
            Self::Conversation => ("gen_ai.conversation.id", "The id of the task, if the call is in one."),
            Self::Error => (
                "error.type",
                "The code of a refusal or a failure (`refusals.md`); the ending, if the call broke off after its answer began.",
            ),
            Self::Method => ("http.request.method", "The method that was judged and sent."),
            Self::Server => ("server.address", "The tool's host, as configured."),
            Self::Status => ("http.response.status_code", "The status the tool answered with."),
            Self::Decision => {
                ("countersign.decision", "`allow`, `ask`, `throttle`, `deny`; `unavailable`, if nobody decided.")
            }
            Self::Rules => ("countersign.rules", "The ids of the rules that said no; opaque ones, too."),
            Self::Effect => {
                ("countersign.effect", "What the action does: `read`, `write`, `delete`, `send`, `spend`, `execute`.")
            }
            Self::Issuer => ("countersign.issuer", "The issuer that was asked for a credential."),
            Self::Ending => ("countersign.ending", "How a permitted call ended, as the lineage says it."),
            Self::Bytes => ("countersign.answer.bytes", "Bytes of the answer that were passed on."),
        }
    }
}

/// A moment of a call, told as an event of its span.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// The call was read and understood.
    Understood,
    /// The verdict was reached and is durable.
    Recorded,
    /// A credential is lent.
    Minted,
    /// The head of the tool's answer is here.
    Answered,
}

impl Step {
    /// Every one, in the order of a call.
    pub const ALL: [Self; 4] = [Self::Understood, Self::Recorded, Self::Minted, Self::Answered];

    /// As it is sent.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Understood => "understood",
            Self::Recorded => "recorded",
            Self::Minted => "minted",
            Self::Answered => "answered",
        }
    }

    /// What it says.
    pub const fn help(self) -> &'static str {
        match self {
            Self::Understood => "The request is read, and it is known which action it takes.",
            Self::Recorded => "The verdict is durable; the call may be made.",
            Self::Minted => "A credential is lent, or none is needed.",
            Self::Answered => "The head of the tool's answer is here.",
        }
    }
}
