// Domain names, queue IDs, flush IDs and times: what they take, and what they must never take.

import Testing

@testable import FlushCore

@Suite struct DomainNameTests {
    private func failure(_ text: String) -> InvalidDomainName? {
        do throws(InvalidDomainName) {
            _ = try DomainName(parsing: text)
            return nil
        } catch { return error }
    }

    @Test(arguments: [
        ("customer.example", "customer.example"), ("CUSTOMER.Example", "customer.example"), ("localhost", "localhost"), ("_dmarc.a", "_dmarc.a"),
        ("a-b.example", "a-b.example"), ("a--b.example", "a--b.example"), ("1.example", "1.example"), ("1.2.3.x", "1.2.3.x"), ("1-2", "1-2"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"), ("XN--Bcher-KVA.example", "xn--bcher-kva.example"),
        ("bücher.example", "xn--bcher-kva.example"), ("BÜCHER.example", "xn--bcher-kva.example"), ("bu\u{308}cher.example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"), ("例え.テスト", "xn--r8jz45g.xn--zckzah"), ("a。example", "a.example"), ("ａ.example", "a.example"),
    ]) func takesANameInItsComparableForm(text: String, name: String) {
        #expect(DomainName(text)?.description == name)
    }

    @Test(
        arguments: [
            ("", .empty), (".", .emptyLabel), ("a.", .emptyLabel), (".a", .emptyLabel), ("a..b", .emptyLabel), ("-a", .hyphenAtEnd),
            ("a-", .hyphenAtEnd),
            ("a-.b", .hyphenAtEnd), ("a.-b", .hyphenAtEnd), ("127.0.0.1", .numeric), ("1", .numeric), ("[127.0.0.1]", .character("[")),
            ("a b", .character(" ")), ("a\nb", .character("\n")), ("a\r\nb", .character("\r")), ("a\u{0}", .character("\u{0}")),
            ("a/b", .character("/")),
            ("../a", .emptyLabel), ("a%2eb", .character("%")), ("*.example", .character("*")), ("a@b", .character("@")),
            ("a\u{7F}", .character("\u{7F}")),
            ("a;b", .character(";")), ("a'b", .character("'")), ("a:25", .character(":")),
        ] as [(String, InvalidDomainName)]) func saysWhyATextIsNoName(text: String, reason: InvalidDomainName)
    {
        #expect(failure(text) == reason)
        #expect(DomainName(text) == nil)
    }

    @Test(arguments: [
        "bücher.example\u{0}.other.example", "bücher\u{0}", "b\u{FC}cher..example", "bücher.example.", "-bücher.example", "bü cher.example",
        "bü\ncher.example",
        "a\u{202E}b.example", "a\u{200B}\u{200B}.", "\u{301}a.example", "ü@b", "ü/b", "℀.example", "\u{FFFD}.example", "é.127", "１２７.0.0.1", "\u{AD}",
        "xn--.ü",
        "xn--zzzzzzzzzzzz.ü",
    ]) func refusesWhatIsNoInternationalName(text: String) {
        #expect(DomainName(text).map { "\($0)" } == (text == "é.127" ? "xn--9ca.127" : nil))
    }

    @Test func lengthsAreBoundedExactly() {
        let label = String(repeating: "a", count: DomainName.maximumLabelLength)
        let longest = [label, label, label, String(repeating: "b", count: 61)].joined(separator: ".")

        #expect(longest.utf8.count == DomainName.maximumLength)
        #expect(DomainName(longest) != nil)
        #expect(failure(longest + "b") == .tooLong)
        #expect(failure(label + "a.example") == .labelTooLong)
        #expect(failure(String(repeating: "a", count: 10_000_000)) == .tooLong)
        #expect(failure(String(repeating: "ü", count: 10_000_000)) == .tooLong)
        #expect(DomainName(String(repeating: "ü", count: 60)) == nil)
    }

    @Test(arguments: [
        ("xn--bcher-kva.example", "bücher.example"), ("www.xn--bcher-kva.example", "www.bücher.example"), ("customer.example", "customer.example"),
        ("axn--b.example", "axn--b.example"),
    ]) func hasAFormForPeople(name: String, unicode: String) throws {
        #expect(try #require(DomainName(name)).unicode == unicode)
    }

    /// The A-labels are the Punycode of `a b`, of a line feed, of an escape sequence, of a right-to-left override, of `a.b` and of nothing.
    @Test(arguments: [
        "xn--a b", "xn--a-b", "xn--\n-", "xn--aa-", "xn--a-ecp", "xn--ab-j1t", "xn--a", "xn--99999999", "xn--a-zzzzzzz", "xn--b-jnd", "xn---0-0aa",
    ])
    func theFormForPeopleMeansTheSameName(name: String) {
        guard let domain = DomainName(name) else { return }

        #expect(domain.unicode == domain.description || DomainName(domain.unicode) == domain)
        #expect(!domain.unicode.unicodeScalars.contains { $0.properties.generalCategory == .control || $0.properties.generalCategory == .format })
    }

    @Test(arguments: [
        ("a.example", "example", true), ("b.a.example", "example", true), ("example", "example", false), ("badexample", "example", false),
        ("example", "a.example", false), ("a.example", "b.example", false), ("a.example", "a.exampl", false), ("x.b", "b", true),
    ]) func isASubdomainOnlyOnLabelBoundaries(name: String, parent: String, expected: Bool) throws {
        #expect(try #require(DomainName(name)).isSubdomain(of: try #require(DomainName(parent))) == expected)
    }

    @Test func parentsEndAtTheLastLabel() throws {
        let name = try #require(DomainName("a.b.example"))

        #expect(name.parent?.description == "b.example")
        #expect(name.parent?.parent?.description == "example")
        #expect(name.parent?.parent?.parent == nil)
    }
}

@Suite struct QueueIDTests {
    @Test(arguments: ["0", "4XyZ1", "4jXf1t3BDnz2Pkjd", "a_b", "_", String(repeating: "A", count: 255)])
    func takesWhatPostfixTakes(text: String) {
        #expect(QueueID(text)?.description == text)
    }

    @Test(arguments: [
        "", "a b", "a-b", "a.b", "..", "a/b", "../etc/passwd", "a\n", "a\u{0}", "ä", "١", "a\u{301}", "ALL!", String(repeating: "A", count: 256),
    ])
    func refusesTheRest(text: String) {
        #expect(QueueID(text) == nil)
    }

    @Test func lettersKeepTheirCase() {
        #expect(QueueID("abc") != QueueID("ABC"))
    }
}

@Suite struct FlushIDTests {
    private let noon = Timestamp(seconds: 1_795_374_000)

    @Test func anIDReadsBackAsItself() throws {
        let id = FlushID.next(after: nil, at: noon, random: .max)

        #expect(id.description.utf8.count == FlushID.length)
        #expect(FlushID(id.description) == id)
    }

    /// The time's part is the ULID specification's own example layout: ten characters of milliseconds.
    @Test func theFirstTenCharactersAreTheTime() {
        #expect(FlushID.next(after: nil, at: Timestamp(microseconds: 1_469_918_176_385_999), random: 0).description == "01ARYZ6S410000000000000000")
        #expect(FlushID.next(after: nil, at: Timestamp(seconds: 0), random: 31).description == "0000000000000000000000000Z")
    }

    @Test func laterIDsAreHigher() {
        var previous: FlushID?
        let steps: [(Int64, UInt64)] = [(0, 5), (0, 4), (0, .max), (0, 0), (-3_600_000, 9), (1, 0), (-1, 7)]
        for (milliseconds, random) in steps {
            let time = Timestamp(microseconds: noon.microseconds + milliseconds * 1000)
            let next = FlushID.next(after: previous, at: time, random: random)
            #expect(previous.map { $0 < next } ?? true)
            previous = next
        }
    }

    @Test func countingOnCarries() throws {
        let previous = try #require(FlushID("01ARYZ6S4100000000000000ZZ"))

        #expect(FlushID.next(after: previous, at: Timestamp(seconds: 0), random: 0).description == "01ARYZ6S410000000000000100")
    }

    @Test(arguments: [Int64.min, -1, 0, Int64.max]) func anyClockGivesAnIDThatReadsBack(microseconds: Int64) {
        let id = FlushID.next(after: nil, at: Timestamp(microseconds: microseconds), random: 1)

        #expect(FlushID(id.description) == id)
    }

    @Test(arguments: [
        "", "01ARYZ6S41000000000000000", "01ARYZ6S4100000000000000000", "81ARYZ6S410000000000000000", "01aryz6s410000000000000000",
        "01ARYZ6S41000000000000000I", "01ARYZ6S41000000000000000L", "01ARYZ6S41000000000000000O", "01ARYZ6S41000000000000000U",
        "01ARYZ6S41000000000000000 ",
        "01ARYZ6S4100000000000000ü", "01ARYZ6S41000000000000000\u{0}",
    ]) func refusesWhatIsNoID(text: String) {
        #expect(FlushID(text) == nil)
    }
}

@Suite struct TimestampTests {
    @Test(
        arguments: [
            (0, 0), (1, 0), (999_999, 0), (1_000_000, 1), (-1, -1), (-1_000_000, -1), (-1_000_001, -2), (Int64.max, 9_223_372_036_854),
            (Int64.min, -9_223_372_036_855),
        ] as [(Int64, Int64)]) func wholeSecondsAreRoundedDown(microseconds: Int64, seconds: Int64)
    {
        #expect(Timestamp(microseconds: microseconds).seconds == seconds)
    }

    @Test func timesAndDurationsAddUp() {
        let start = Timestamp(seconds: 100)

        #expect(start + .milliseconds(1500) == Timestamp(microseconds: 101_500_000))
        #expect(start + .milliseconds(-1500) == Timestamp(microseconds: 98_500_000))
        #expect(start + .nanoseconds(999) == start)
        #expect((start + .seconds(7)) - start == .seconds(7))
        #expect(start - (start + .seconds(7)) == .seconds(-7))
        #expect(start < start + .microseconds(1))
    }
}
