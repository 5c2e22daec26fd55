// The problems of this API as answers; which error is which kind is said in FlushWire, for both ends.

import FlushCore
import FlushWire
import HTTPServer
import HTTPTypes

extension Problem: Error {}

extension Problem {
    typealias Kind = ProblemKind

    init(
        kind: Kind, status: HTTPResponse.Status, title: String? = nil, detail: String, errors: [Fault] = [], extensions: [Extension] = [],
        fields: HTTPFields = HTTPFields()
    ) {
        self.init(
            type: kind.uri, status: status, title: title, detail: detail, errors: errors, extensions: extensions,
            fields: fields)
    }

    /// 400 with the places.
    init(faults: [Fault]) {
        let detail = faults.count == 1 ? faults[0].detail : "\(faults.count) places of the request are wrong; see errors."
        self.init(kind: .badRequest, status: .badRequest, title: "The request is malformed", detail: detail, errors: faults)
    }

    init(_ error: InvalidBody) { self.init(faults: error.faults.map { Fault(pointer: $0.pointer, detail: $0.detail) }) }

    /// What the flush core refuses.
    init(_ error: FlushError) {
        let problem = FlushProblem(error)
        var fields = HTTPFields()
        if let seconds = problem.retryAfterSeconds { fields[.retryAfter] = String(seconds) }
        let members = problem.members.map { member in
            switch member.value {
            case .text(let text): Extension(member.name, .text(text))
            case .integer(let number): Extension(member.name, .integer(number))
            case .null: Extension(member.name, .null)
            }
        }
        self.init(
            kind: problem.kind, status: Self.status(problem.status), title: problem.title, detail: problem.detail,
            extensions: members, fields: fields)
    }

    /// A status that is made of a number has no phrase, and the title would be empty.
    private static func status(_ code: Int) -> HTTPResponse.Status {
        let known: [HTTPResponse.Status] = [
            .forbidden, .notFound, .conflict, .preconditionFailed, .tooManyRequests, .notImplemented, .serviceUnavailable,
        ]
        return known.first { $0.code == code } ?? HTTPResponse.Status(code: code)
    }

    static func notFound(_ what: String) -> Problem { Problem(kind: .notFound, status: .notFound, detail: what) }
}
