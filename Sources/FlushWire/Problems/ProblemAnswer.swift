// A problem as somebody reads it who has asked.

import FlushCore

/// A problem document of this API's server, or of anything else that speaks RFC 9457.
public struct ProblemAnswer: Sendable, Equatable {
    /// `type` as it came; `about:blank` says no more than the status does.
    public var type: String
    public var status: Int
    public var title: String
    public var detail: String
    /// The places that are wrong with the request.
    public var faults: [InvalidBody.Fault]
    private var members: [FlushProblem.Member]
    private var retryAfterSeconds: Int?

    /// Nil when the value is no object; members of other types than RFC 9457 has them are taken for absent (section 3.1).
    ///
    /// - Parameters:
    ///   - status: of the response; a document's own `status` is advice only.
    ///   - retryAfterSeconds: what the response's `Retry-After` says.
    public init?(_ value: JSONValue, status: Int, retryAfterSeconds: Int? = nil) {
        guard case .object(let object) = value else { return nil }
        func text(_ name: String) -> String? {
            if case .text(let text)? = object[name] { text } else { nil }
        }
        self.status = status
        self.retryAfterSeconds = retryAfterSeconds
        type = text("type") ?? "about:blank"
        title = text("title") ?? ""
        detail = text("detail") ?? title
        faults = []
        if case .array(let errors)? = object["errors"] {
            for case .object(let error) in errors.prefix(InvalidBody.maximumFaults) {
                guard case .text(let pointer)? = error["pointer"], case .text(let detail)? = error["detail"] else { continue }
                faults.append(.init(pointer: pointer, detail: detail))
            }
        }
        members = []
        for (name, value) in object {
            switch value {
            case .text(let text): members.append(.init(name, .text(text)))
            case .number(let number):
                if let integer = Int(exactly: number) { members.append(.init(name, .integer(integer))) }
            case .null: members.append(.init(name, .null))
            case .flag, .array, .object: break
            }
        }
    }

    /// Nil when it is none of this API's.
    public var kind: ProblemKind? { ProblemKind(uri: type) }

    /// The error that the server's core threw; nil when it was not the core that refused.
    public var error: FlushError? {
        kind.flatMap { FlushProblem($0, status, detail, members, retryAfterSeconds: retryAfterSeconds).error }
    }

    public static func == (a: ProblemAnswer, b: ProblemAnswer) -> Bool {
        a.type == b.type && a.status == b.status && a.title == b.title && a.detail == b.detail && a.faults == b.faults && a.error == b.error
    }
}
