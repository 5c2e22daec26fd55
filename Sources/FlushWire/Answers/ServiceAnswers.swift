// What is told of the service itself: out of answers, and the policy also into one.

import FlushCore
import JSONText

/// `GET /status`.
public struct ServerStatus: Sendable, Equatable {
    public var version: String
    public var engine: String
    public var status: FlushStatus

    public init(version: String, engine: String, status: FlushStatus) {
        self.version = version
        self.engine = engine
        self.status = status
    }

    public init(answer: JSONValue) throws(InvalidAnswer) {
        let reader = try AnswerReader(answer)
        version = try reader.text("version")
        engine = try reader.text("engine")
        status = try FlushStatus(reader)
    }
}

extension FlushStatus {
    fileprivate init(_ reader: AnswerReader) throws(InvalidAnswer) {
        let reconcile: Reconcile? =
            if let last = try reader.objectOrNull("last_reconcile") {
                Reconcile(
                    at: try last.time("at"), missing: try last.count("missing"), stale: try last.count("stale"),
                    changed: try last.count("changed"), failure: try last.textOrNull("failure"))
            } else { nil }
        self.init(
            startedAt: try reader.time("started_at"), isIndexComplete: try reader.flag("index_complete"), messages: try reader.count("messages"),
            bytes: try reader.count("bytes"), oldestArrival: try reader.timeOrNull("oldest_arrival"), domains: try reader.count("domains"),
            waitingDomains: try reader.count("domains_waiting"), relayDomains: try reader.count("relay_domains"),
            flushesRunning: try reader.count("flushes_running"), flushesRequested: try reader.count("flushes_requested"),
            messagesReleased: try reader.count("messages_released"), delivered: try reader.count("delivered"),
            deferredAgain: try reader.count("deferred_again"), bounced: try reader.count("bounced"), departed: try reader.count("departed"),
            adds: try reader.count("adds"), lastReconcile: reconcile)
    }
}

/// `GET /policy`.
public struct ServerPolicy: Sendable, Equatable {
    public struct Parameter: Sendable, Equatable {
        public var name: String
        public var value: String
        public var source: String

        public init(name: String, value: String, source: String) {
            self.name = name
            self.value = value
            self.source = source
        }
    }

    public var parameters: [Parameter]
    public var warnings: [String]

    public init(parameters: [Parameter], warnings: [String]) {
        self.parameters = parameters
        self.warnings = warnings
    }

    public init(answer: JSONValue) throws(InvalidAnswer) {
        let reader = try AnswerReader(answer)
        parameters = try reader.list("parameters") { (row) throws(InvalidAnswer) in
            Parameter(name: try row.text("name"), value: try row.text("value"), source: try row.text("source"))
        }
        warnings = try reader.texts("warnings") { $0 }
    }

    public func write(to writer: inout JSONWriter) {
        writer.object { json in
            json.name("parameters")
            json.array { json in
                for parameter in parameters {
                    json.object { json in
                        json.field("name", parameter.name)
                        json.field("value", parameter.value)
                        json.field("source", parameter.source)
                    }
                }
            }
            json.name("warnings")
            json.array { json in
                for warning in warnings { json.value(warning) }
            }
        }
    }
}
