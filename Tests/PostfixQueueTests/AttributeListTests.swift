// The attribute encoding and the flush requests in it, as Postfix's clients send them and as nobody should.

import FlushCore
import Testing

@testable import PostfixQueue

@Suite(.timeLimit(.minutes(5))) struct AttributeListTests {
    private func parse(_ text: String) -> AttributeListParser.Progress { parse(Array(text.utf8)) }

    private func parse(_ bytes: [UInt8]) -> AttributeListParser.Progress {
        var parser = AttributeListParser()
        return parser.take(bytes.span.bytes)
    }

    @Test func theGreetingIsPostfixsOwn() {
        #expect(FlushProtocolReply.greeting == Array("protocol\0queue_flush_protocol\0\0".utf8))
        #expect(FlushProtocolReply.greeting.count == 31)
    }

    @Test func theStatusIsPostfixsOwn() {
        #expect(FlushProtocolReply.ok.encoded == Array("status\00\0\0".utf8))
        #expect(FlushProtocolReply.failed.encoded == Array("status\04294967295\0\0".utf8))
    }

    @Test func readsAnAdd() {
        let bytes = "request\0add\0site\0customer.test\0queue_id\002CFAF924E6\0\0"

        #expect(bytes.utf8.count == 53)
        #expect(parse(bytes) == .complete(AttributeList(["request": "add", "site": "customer.test", "queue_id": "02CFAF924E6"])))
    }

    @Test func readsItAByteAtATime() {
        var parser = AttributeListParser()
        var progress = AttributeListParser.Progress.more
        let bytes = Array("request\0send_site\0site\0customer.test\0\0".utf8)

        for (index, byte) in bytes.enumerated() {
            progress = parser.take([byte].span.bytes)
            if index < bytes.count - 1 { #expect(progress == .more) }
        }

        #expect(progress == .complete(AttributeList(["request": "send_site", "site": "customer.test"])))
    }

    @Test func whatFollowsAListIsDropped() {
        #expect(parse("request\0purge\0\0request\0rfrsh\0\0") == .complete(AttributeList(["request": "purge"])))
    }

    @Test func anEmptyListIsComplete() {
        #expect(parse("\0") == .complete(AttributeList([:])))
    }

    @Test func anEmptyValueIsAValue() {
        #expect(parse("request\0add\0site\0\0queue_id\0A1\0\0") == .complete(AttributeList(["request": "add", "site": "", "queue_id": "A1"])))
    }

    @Test func masterSaysWInTwoPieces() {
        var parser = AttributeListParser()

        #expect(parser.take([UInt8(0x57)].span.bytes) == .more)
        #expect(parser.take([UInt8(0)].span.bytes) == .trigger(0x57))
    }

    @Test func aListWithoutAnEndIsRefusedAtTheBound() {
        var parser = AttributeListParser()
        let filler = [UInt8](repeating: 0x61, count: 1_000)

        #expect(parser.take(filler.span.bytes) == .more)
        #expect(parser.take(filler.span.bytes) == .more)
        #expect(parser.take(filler.span.bytes) == .refused)
    }

    @Test func aCompleteListBeforeTheBoundIsTakenFromALongRead() {
        let bytes = Array("request\0purge\0\0".utf8) + [UInt8](repeating: 0x61, count: 100_000)

        #expect(parse(bytes) == .complete(AttributeList(["request": "purge"])))
    }

    @Test func tooManyAttributesAreRefused() {
        #expect(parse(String(repeating: "name\0value\0", count: 17) + "\0") == .refused)
    }

    @Test func bytesThatAreNoTextAreRefused() {
        #expect(parse([0xff, 0xfe, 0]) == .refused)
    }

    @Test(arguments: [
        ("request\0add\0site\0a.test\0queue_id\0A1\0\0", FlushProtocolRequest.add(site: "a.test", queueID: "A1")),
        ("request\0send_site\0site\0a.test\0\0", .sendSite("a.test")),
        ("request\0send_file\0queue_id\0A1\0\0", .sendFile(queueID: "A1")),
        ("request\0rfrsh\0\0", .refresh),
        ("request\0purge\0\0", .purge),
    ])
    func knowsTheRequest(_ bytes: String, _ expected: FlushProtocolRequest) throws {
        guard case .complete(let list) = parse(bytes) else { throw Unexpected() }

        let (request, hasMore) = try FlushProtocolRequest.parse(list)

        #expect(request == expected)
        #expect(!hasMore)
    }

    @Test(arguments: [
        "request\0add\0queue_id\0A1\0site\0a.test\0\0",
        "request\0add\0site\0a.test\0\0",
        "request\0send_site\0\0",
        "request\0send_site\0other\0x\0site\0a.test\0\0",
        "request\0send_file\0site\0a.test\0\0",
    ])
    func anAttributeOutOfOrderIsBad(_ bytes: String) throws {
        guard case .complete(let list) = parse(bytes) else { throw Unexpected() }

        #expect(throws: FlushProtocolRequest.Invalid.malformed) { try FlushProtocolRequest.parse(list) }
    }

    @Test(arguments: ["\0", "request\0refresh\0\0", "site\0a.test\0request\0send_site\0\0", "request\0ADD\0\0"])
    func whatIsNoRequestIsUnknown(_ bytes: String) throws {
        guard case .complete(let list) = parse(bytes) else { throw Unexpected() }

        #expect(throws: FlushProtocolRequest.Invalid.unknown) { try FlushProtocolRequest.parse(list) }
    }

    @Test func oneMoreAttributeAtTheEndIsAccepted() throws {
        let list = AttributeList(["request": "send_site", "site": "a.test", "novelty": "1"])

        let (request, hasMore) = try FlushProtocolRequest.parse(list)

        #expect(request == .sendSite("a.test"))
        #expect(hasMore)
    }
}

struct Unexpected: Error {}
