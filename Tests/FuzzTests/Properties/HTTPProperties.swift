// HTTP: the same bytes are the same requests wherever the network cuts them, within the bounds, and survive being written again.

import HTTPTypes
import JSONText

@testable import HTTPServer

enum HTTPRequestProperties {
    /// Small, so that short inputs reach every bound.
    static let limits: HTTPLimits = {
        var limits = HTTPLimits()
        limits.maximumTarget = 128
        limits.maximumHead = 1_024
        limits.maximumFields = 8
        limits.maximumBody = 512
        limits.maximumChunkExtensions = 32
        return limits
    }()

    private struct Outcome: Equatable {
        var requests: [Taken] = []
        var refusal: RequestRefusal?
        var isIdle = true
        var isInBody = false
    }

    private struct Taken: Equatable {
        var method: String
        var path: String
        var query: String
        var host: String
        var isVersion11: Bool
        var keepsAlive: Bool
        var framing: BodyFraming
        var fields: [[UInt8]]
        var body: [UInt8]

        init(_ head: RequestHead, _ body: [UInt8]) {
            method = head.method.rawValue
            (path, query, host) = (head.pathText, head.queryText, head.hostText)
            (isVersion11, keepsAlive, framing) = (head.isVersion11, head.keepsAlive, head.framing)
            let bytes = head.fields.bytes
            fields = head.fields.list.map { Array(bytes[$0.name.bounds]) + [ByteRules.colon] + Array(bytes[$0.value.bounds]) }
            self.body = body
        }
    }

    static func check(_ input: [UInt8]) throws {
        let pieces = Pieces(input)
        let outcome = try pieces.sameEveryWay(read)
        try checkBounds(outcome)
        for request in outcome.requests { try checkWrittenAgain(request, pieces.chosen.map(\.count)) }
    }

    private static func read(_ pieces: [[UInt8]]) throws -> Outcome {
        var parser = RequestParser()
        var outcome = Outcome()
        var hasSaidContinue = false
        for piece in pieces where outcome.refusal == nil {
            try piece.withUnsafeBytes { bytes in
                var from = 0
                // Every decision but the last uses a byte, or is the one before a body.
                for _ in 0...2 * bytes.count + 1 {
                    let before = from
                    let decision = parser.advance(over: bytes, from: &from, limits: limits)
                    try require((before...bytes.count).contains(from), "the position went from \(before) to \(from) of \(bytes.count)")
                    switch decision {
                    case .more: return try require(from == bytes.count, "more is wanted, and \(bytes.count - from) bytes are left")
                    case .continueExpected(let head):
                        try require(head.expectsContinue && !hasSaidContinue && from == bytes.count, "a 100 Continue that nobody waits for")
                        hasSaidContinue = true
                    case .request(let head, let body):
                        hasSaidContinue = false
                        outcome.requests.append(Taken(head, body))
                    case .refused(let refusal):
                        outcome.refusal = refusal
                        return
                    }
                }
                throw Violation(description: "no end of decisions about \(bytes.count) bytes")
            }
        }
        guard outcome.refusal == nil else { return outcome }
        (outcome.isIdle, outcome.isInBody) = (parser.isIdle, parser.isInBody)
        return outcome
    }

    private static func checkBounds(_ outcome: Outcome) throws {
        if let refusal = outcome.refusal {
            try require((400...599).contains(refusal.status.code), "a refusal with \(refusal.status)")
            try require(!refusal.detail.isEmpty, "a refusal that says nothing")
            try requirePlain(refusal.detail, "a refusal")
        }
        for request in outcome.requests {
            try require(request.body.count <= limits.maximumBody, "a body of \(request.body.count) bytes")
            try require(request.fields.count <= limits.maximumFields, "\(request.fields.count) fields")
            try require(request.path.utf8.count + request.query.utf8.count <= limits.maximumTarget, "a target beyond its bound")
            try requirePlain(request.path + request.query + request.host, "a target")
            switch request.framing {
            case .none: try require(request.body.isEmpty, "a body that was not announced")
            case .length(let length): try require(request.body.count == length, "\(request.body.count) bytes of body instead of \(length)")
            case .chunked: break
            }
        }
    }

    /// What was understood can be written, and is understood as the same.
    private static func checkWrittenAgain(_ request: Taken, _ sizes: [Int]) throws {
        let target = request.path + (request.query.isEmpty ? "" : "?\(request.query)")
        var bytes = Array("\(request.method) \(target) HTTP/1.\(request.isVersion11 ? 1 : 0)\r\n".utf8)
        for field in request.fields { bytes += field + Array("\r\n".utf8) }
        bytes += Array("\r\n".utf8)
        if request.framing == .chunked { bytes += HTTPChunkProperties.encode(request.body, sizes) } else { bytes += request.body }
        let outcome = try read([bytes])
        // The colons gained no space, but a target of the shortest form may have gained its slash.
        guard bytes.count <= limits.maximumHead, target.utf8.count <= limits.maximumTarget else { return }
        guard var again = outcome.requests.first, outcome.requests.count == 1, outcome.refusal == nil else {
            throw Violation(description: "written again it is refused: \(outcome)\n\(String(decoding: bytes, as: UTF8.self).debugDescription)")
        }
        // The authority of an absolute target is not written again.
        again.host = request.host
        try require(again, equals: request, "written again it is another request")
    }
}

enum HTTPChunkProperties {
    private struct Outcome: Equatable {
        var body: [UInt8] = []
        var used = 0
        var isComplete = false
        var refusal: RequestRefusal?
    }

    static func check(_ input: [UInt8]) throws {
        let pieces = Pieces(input)
        let outcome = try pieces.sameEveryWay { try read($0, HTTPRequestProperties.limits) }
        try require(outcome.body.count <= HTTPRequestProperties.limits.maximumBody, "a body of \(outcome.body.count) bytes")

        // Any bytes, chunked in any way, come out as they went in.
        let coded = encode(pieces.bytes, pieces.chosen.map(\.count))
        let decoded = try read([coded], HTTPLimits())
        try require(decoded, equals: Outcome(body: pieces.bytes, used: coded.count, isComplete: true), "coded and decoded again")
    }

    private static func read(_ pieces: [[UInt8]], _ limits: HTTPLimits) throws -> Outcome {
        var decoder = ChunkedDecoder()
        var outcome = Outcome()
        for piece in pieces where !outcome.isComplete && outcome.refusal == nil {
            try piece.withUnsafeBytes { bytes in
                var from = 0
                do throws(RequestRefusal) {
                    outcome.isComplete = try decoder.decode(bytes, from: &from, into: &outcome.body, limits: limits)
                } catch {
                    outcome.refusal = error
                    return
                }
                outcome.used += from
                try require(outcome.isComplete || from == bytes.count, "more is wanted, and bytes are left")
            }
        }
        // How much of the last chunk had come before the error is no part of the promise.
        if outcome.refusal != nil { (outcome.body, outcome.used) = ([], 0) }
        return outcome
    }

    /// The chunked coding of a body, in chunks of these sizes.
    static func encode(_ body: [UInt8], _ sizes: [Int]) -> [UInt8] {
        var coded: [UInt8] = []
        var start = 0
        for size in sizes + [body.count] where start < body.count {
            let end = min(body.count, start + max(1, size))
            coded += Array("\(String(end - start, radix: 16))\r\n".utf8) + body[start..<end] + Array("\r\n".utf8)
            start = end
        }
        return coded + Array("0\r\n\r\n".utf8)
    }
}

enum HTTPTargetProperties {
    private static let tree: RouteTree = {
        var tree = RouteTree()
        for (index, template) in templates.enumerated() { _ = tree.add(template, route: index) }
        return tree
    }()

    private static let templates = ["/status", "/domains/{domain}", "/domains/{domain}/messages", "/domains/{domain}/messages/{id}", "/"]

    static func check(_ input: [UInt8]) throws {
        // Other bytes do not get this far.
        let text = String(decoding: input.filter(ByteRules.isTarget), as: UTF8.self)
        let parts = text.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        try checkPath(parts.first ?? "")
        try checkQuery(parts.count > 1 ? parts[1] : "")
    }

    private static func checkPath(_ path: String) throws {
        switch tree.match(path) {
        case .nothing: return
        case .fault(let reason): try requirePlain(reason, "a fault")
        case .route(let index, let values):
            var names = values.makeIterator()
            let again = templates[index].split(separator: "/").map { segment in
                segment.hasPrefix("{") ? PercentText.encode((names.next() ?? "").utf8) : String(segment)
            }
            guard case .route(index, let same) = tree.match("/" + again.joined(separator: "/")) else {
                throw Violation(description: "\(path.debugDescription) is a route, and not when it is written again: \(again)")
            }
            try require(same, equals: values, "the values of \(path.debugDescription), and written again")
            try require(!values.contains { $0.isEmpty || $0.utf8.contains(0) || $0.contains("/") }, "an impossible value in \(values)")
        }
    }

    private static func checkQuery(_ text: String) throws {
        let query = QueryItems(text)
        try require(query.items.count <= QueryItems.maximumCount, "\(query.items.count) items")
        guard query.fault == nil else { return }
        let again = query.items.map { "\(PercentText.encode($0.name.utf8))=\(PercentText.encode($0.value.utf8))" }.joined(separator: "&")
        try require(QueryItems(again).items, equals: query.items, "the items of \(text.debugDescription), and written again")
        try require(QueryItems(again).fault == nil, "written again the query is at fault")
    }
}
