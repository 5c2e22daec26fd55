// Destinations, messages and kept reports out of answers.

import FlushCore

extension DomainSummary {
    public static func page(answer: JSONValue) throws(InvalidAnswer) -> AnswerPage<DomainSummary> {
        try AnswerPage(answer, "domains") { (reader) throws(InvalidAnswer) in try DomainSummary(reader) }
    }

    init(_ reader: AnswerReader) throws(InvalidAnswer) {
        let lastFlush: LastFlush? =
            if let last = try reader.objectOrNull("last_flush") {
                LastFlush(id: try last.parsed("id") { FlushID($0) }, at: try last.time("at"), state: try last.choice("state"))
            } else { nil }
        self.init(
            domain: try reader.parsed("domain") { DomainName($0) }, mode: try reader.choice("mode"), state: try reader.choice("state"),
            messages: try reader.count("messages"), bytes: try reader.count("bytes"), oldestArrival: try reader.timeOrNull("oldest_arrival"),
            lastReason: try reader.textOrNull("last_reason"), lastFlush: lastFlush)
    }
}

extension DomainDetail {
    public init(answer: JSONValue) throws(InvalidAnswer) {
        let reader = try AnswerReader(answer)
        let named = try reader.object("age_buckets")
        var buckets: [Int] = []
        for name in Self.ageBucketNames { buckets.append(try named.count(name.description)) }
        self.init(summary: try DomainSummary(reader), ageBuckets: buckets)
    }
}

extension MessageDescription {
    public init(answer: JSONValue) throws(InvalidAnswer) {
        let reader = try AnswerReader(answer)
        try self.init(reader)
        history = try reader.list("history") { (note) throws(InvalidAnswer) in
            AttemptNote(
                at: try note.time("at"), recipient: try note.text("recipient"), result: try note.text("result"), text: try note.text("text"))
        }
    }

    public static func page(answer: JSONValue) throws(InvalidAnswer) -> AnswerPage<MessageDescription> {
        try AnswerPage(answer, "messages") { (reader) throws(InvalidAnswer) in try MessageDescription(reader) }
    }

    private init(_ reader: AnswerReader) throws(InvalidAnswer) {
        self.init(
            id: try reader.parsed("queue_id") { QueueID($0) }, place: try reader.parsed("place") { MessagePlace(wireName: $0) },
            arrival: try reader.time("arrival"), size: try reader.count("size"), sender: try reader.text("sender"),
            recipients: try reader.list("recipients") { (recipient) throws(InvalidAnswer) in
                Recipient(
                    address: try recipient.text("address"), state: try recipient.choice("state"), reason: try recipient.textOrNull("reason"))
            },
            nextAttempt: try reader.timeOrNull("next_attempt"))
    }
}

extension KeptReport {
    public init(answer: JSONValue) throws(InvalidAnswer) {
        let reader = try AnswerReader(answer)
        try self.init(reader)
        content = try reader.text("report")
    }

    public static func page(answer: JSONValue) throws(InvalidAnswer) -> AnswerPage<KeptReport> {
        try AnswerPage(answer, "bounces") { (reader) throws(InvalidAnswer) in try KeptReport(reader) }
    }

    private init(_ reader: AnswerReader) throws(InvalidAnswer) {
        self.init(
            id: try reader.parsed("queue_id") { QueueID($0) }, original: try reader.parsed("original_queue_id") { QueueID($0) },
            arrival: try reader.time("arrival"), size: try reader.count("size"), sender: try reader.text("sender"),
            recipients: try reader.texts("recipients") { $0 }, reason: try reader.textOrNull("reason") ?? "")
    }
}
