// Postfix's list matching. The verdicts of the tables were taken from flush(8) 3.7.11 itself, run on these very lists.

import FlushCore
import Testing

@Suite struct DomainListTests {
    /// A list, a domain, and the verdicts in parent and in exact mode.
    struct Row: Sendable, CustomTestStringConvertible {
        var list: String
        var domain: String
        var parent: Verdict
        var exact: Verdict
        var testDescription: String { "'\(list)' asked for \(domain)" }

        init(_ list: String, _ domain: String, _ parent: Verdict, _ exact: Verdict) {
            self.list = list
            self.domain = domain
            self.parent = parent
            self.exact = exact
        }
    }

    enum Verdict: Sendable { case yes, no, fail }

    static let files = [
        "/plain": "c.test\n# x.test\nd.test, e.test\n",
        "/comment": "c.test # d.test\ne.test\n",
        "/indented": "  c.test\n  # d.test\ne.test\n",
        "/nested": "/plain\n!/negative\nz.test\n",
        "/negative": "y.test !x.test\n",
        "/brace": "{a.test b.test\nc.test}\nd.test\n",
        "/crlf": "c.test\r\nd.test\r\n",
        "/itself": "c.test\n/itself\nd.test\n",
        "/twice": "/other /other\nc.test\n",
        "/other": "/twice /twice\n",
        "/hole": "c.test\n/no/such\nd.test\n",
    ]

    static func read(_ path: String) throws(DomainList.UnreadableFile) -> String {
        guard let text = files[path] else { throw DomainList.UnreadableFile(reason: "No such file or directory") }
        return text
    }

    func verdict(_ list: String, _ domain: String, _ mode: DomainList.Mode, provisioned: Set<String> = []) throws -> Verdict {
        let name = try #require(DomainName(domain))
        let match = DomainList(parsing: list, mode: mode, readFile: Self.read).match(name) { provisioned.contains($0.description) }
        switch match {
        case .yes: return .yes
        case .no: return .no
        case .failure(let reason):
            #expect(!reason.isEmpty)
            return .fail
        }
    }

    @Test(arguments: [
        Row("c.test", "c.test", .yes, .yes), Row("c.test", "a.c.test", .yes, .no), Row("c.test", "xc.test", .no, .no),
        Row("c.test", "test", .no, .no), Row("c.test", "C.TEST", .yes, .yes), Row("C.Test", "c.test", .yes, .yes),
        Row(".c.test", "c.test", .no, .no), Row(".c.test", "a.c.test", .no, .yes), Row(".c.test", "b.a.c.test", .no, .yes),
        Row("test", "c.test", .yes, .no), Row("test", "a.c.test", .yes, .no), Row("test", "atest", .no, .no),
        Row(".test", "a.c.test", .no, .yes), Row(".test", "test", .no, .no),
        Row("1.2", "foo.1.2", .yes, .no), Row(".1.2", "foo.1.2", .no, .yes), Row("c.test.", "c.test", .no, .no),
        Row("*", "c.test", .no, .no), Row(".", "c.test", .no, .no), Row("", "c.test", .no, .no), Row(" ,\t,", "c.test", .no, .no),
        Row("[::1] c.test", "c.test", .yes, .yes), Row("[1.2.3.4]:25 c.test", "c.test", .yes, .yes),
        Row("foo!bar.test", "bar.test", .no, .no),
    ])
    func matchesNames(_ row: Row) throws {
        #expect(try verdict(row.list, row.domain, .parentDomains) == row.parent)
        #expect(try verdict(row.list, row.domain, .exact) == row.exact)
    }

    @Test(arguments: [
        Row("!a.c.test c.test", "a.c.test", .no, .no), Row("!a.c.test c.test", "b.a.c.test", .no, .no),
        Row("!a.c.test c.test", "c.test", .yes, .yes), Row("!a.c.test c.test", "b.c.test", .yes, .no),
        Row("c.test !a.c.test", "a.c.test", .yes, .no), Row("c.test !a.c.test", "c.test", .yes, .yes),
        Row("c.test !c.test", "c.test", .yes, .yes), Row("!c.test c.test", "c.test", .no, .no),
        Row("!c.test", "c.test", .no, .no), Row("!c.test", "d.test", .no, .no), Row("!!c.test", "c.test", .yes, .yes),
        Row("!!!c.test static:all", "c.test", .no, .no), Row("!!!c.test static:all", "d.test", .yes, .yes),
        Row("a.c.test !c.test static:x", "a.c.test", .yes, .yes), Row("a.c.test !c.test static:x", "b.a.c.test", .yes, .yes),
        Row("a.c.test !c.test static:x", "c.test", .no, .no), Row("a.c.test !c.test static:x", "z.c.test", .no, .yes),
        Row("a.c.test !c.test static:x", "o.test", .yes, .yes),
    ])
    func decidesByTheFirstPatternThatMatches(_ row: Row) throws {
        #expect(try verdict(row.list, row.domain, .parentDomains) == row.parent)
        #expect(try verdict(row.list, row.domain, .exact) == row.exact)
    }

    @Test(arguments: [
        Row("a.test,b.test;c.test", "a.test", .yes, .yes), Row("a.test,b.test;c.test", "b.test", .no, .no),
        Row("a.test\tb.test,,  ,c.test", "b.test", .yes, .yes), Row("a.test\r\nc.test", "c.test", .yes, .yes),
        Row("{c.test}", "c.test", .no, .no), Row("{c.test d.test} e.test", "d.test", .no, .no),
        Row("{c.test d.test} e.test", "e.test", .yes, .yes), Row("c.test} d.test", "c.test", .no, .no),
        Row("c.test} d.test", "d.test", .yes, .yes), Row("{c.test d.test", "d.test", .no, .no),
        Row("static:{a b}", "c.test", .yes, .yes),
        Row("# c.test", "c.test", .no, .no), Row("d.test # c.test", "d.test", .yes, .yes), Row("d.test # c.test", "c.test", .no, .no),
        Row("d.test, #c.test", "c.test", .no, .no),
    ])
    func splitsAtCommasAndSpacesOutsideBraces(_ row: Row) throws {
        #expect(try verdict(row.list, row.domain, .parentDomains) == row.parent)
        #expect(try verdict(row.list, row.domain, .exact) == row.exact)
    }

    @Test(arguments: [
        Row("static:all", "c.test", .yes, .yes), Row("!static:all", "c.test", .no, .no), Row("c.test !static:all", "d.test", .no, .no),
        Row("foo:bar c.test", "c.test", .fail, .fail), Row("c.test foo:bar", "c.test", .yes, .yes),
        Row("c.test foo:bar", "d.test", .fail, .fail), Row("!foo:bar c.test", "c.test", .fail, .fail),
        Row("hash:/no/such c.test", "c.test", .fail, .fail), Row("2001:db8::1 c.test", "c.test", .fail, .fail),
        Row("fail:x c.test", "c.test", .fail, .fail),
        // Postfix does not run with these; here they fail when they are reached.
        Row("static: c.test", "c.test", .fail, .fail), Row(":x c.test", "c.test", .fail, .fail), Row("!, c.test", "c.test", .fail, .fail),
        Row("c.test !", "c.test", .yes, .yes), Row("store:x c.test", "c.test", .fail, .fail),
    ])
    func failsAtTablesItCannotAsk(_ row: Row) throws {
        #expect(try verdict(row.list, row.domain, .parentDomains) == row.parent)
        #expect(try verdict(row.list, row.domain, .exact) == row.exact)
    }

    @Test(arguments: [
        Row("/plain", "c.test", .yes, .yes), Row("/plain", "x.test", .no, .no), Row("/plain", "e.test", .yes, .yes),
        Row("/plain", "a.d.test", .yes, .no), Row("!/plain static:all", "c.test", .no, .no), Row("!/plain static:all", "x.test", .yes, .yes),
        Row("/comment", "c.test", .yes, .yes), Row("/comment", "d.test", .no, .no), Row("/comment", "e.test", .yes, .yes),
        Row("/indented", "c.test", .yes, .yes), Row("/indented", "d.test", .no, .no), Row("/indented", "e.test", .yes, .yes),
        Row("/nested", "c.test", .yes, .yes), Row("/nested", "y.test", .no, .no), Row("/nested", "x.test", .yes, .yes),
        Row("/nested", "z.test", .yes, .yes), Row("!/nested static:all", "c.test", .no, .no),
        Row("!/nested static:all", "y.test", .yes, .yes), Row("!/nested static:all", "x.test", .no, .no),
        Row("!/nested static:all", "z.test", .no, .no), Row("/brace", "b.test", .no, .no), Row("/brace", "d.test", .yes, .yes),
        Row("/crlf", "c.test", .yes, .yes), Row("/crlf", "d.test", .yes, .yes),
        Row("/no/such c.test", "c.test", .fail, .fail), Row("c.test /no/such", "c.test", .yes, .yes),
        Row("c.test /no/such", "d.test", .fail, .fail), Row("!/no/such c.test", "c.test", .fail, .fail),
        Row("/hole", "c.test", .yes, .yes), Row("/hole", "d.test", .fail, .fail),
    ])
    func readsFilesInTheirPlace(_ row: Row) throws {
        #expect(try verdict(row.list, row.domain, .parentDomains) == row.parent)
        #expect(try verdict(row.list, row.domain, .exact) == row.exact)
    }

    @Test func endsFilesThatIncludeThemselves() throws {
        #expect(try verdict("/itself", "c.test", .exact) == .yes)
        #expect(try verdict("/itself", "d.test", .exact) == .fail)
        #expect(try verdict("/twice", "c.test", .exact) == .fail)
    }

    @Test func readsBoundedlyManyFiles() {
        var reads = 0

        let list = DomainList(parsing: "/0", mode: .exact) { path throws(DomainList.UnreadableFile) in
            reads += 1
            return (0..<4).map { path + "\($0)" }.joined(separator: " ")
        }

        #expect(reads <= 1000)
        #expect(list.warnings.count == DomainList.maximumWarnings)
        #expect(list.match(DomainName("c.test")!) { _ in true } != .no)
    }

    @Test func asksTheStoreForTheNameAndInParentModeForItsParents() throws {
        let provisioned: Set = ["c.test"]

        #expect(try verdict("store:", "c.test", .parentDomains, provisioned: provisioned) == .yes)
        #expect(try verdict("store:", "b.a.c.test", .parentDomains, provisioned: provisioned) == .yes)
        #expect(try verdict("store:", "xc.test", .parentDomains, provisioned: provisioned) == .no)
        #expect(try verdict("store:", "c.test", .exact, provisioned: provisioned) == .yes)
        #expect(try verdict("store:", "a.c.test", .exact, provisioned: provisioned) == .no)
        #expect(try verdict("!store: static:all", "a.c.test", .parentDomains, provisioned: provisioned) == .no)
        #expect(try verdict("!store: static:all", "d.test", .parentDomains, provisioned: provisioned) == .yes)
        #expect(try verdict("store: foo:bar", "c.test", .exact, provisioned: provisioned) == .yes)
        #expect(try verdict("store: foo:bar", "d.test", .exact, provisioned: provisioned) == .fail)
        #expect(try verdict("store:, some.other.domain", "some.other.domain", .parentDomains, provisioned: provisioned) == .yes)
    }

    @Test func doesNotAskTheStoreWhenAnEarlierPatternDecides() {
        let list = DomainList(parsing: "c.test store:", mode: .exact, readFile: Self.read)
        var asked = 0

        let match = list.match(DomainName("c.test")!) { _ in
            asked += 1
            return false
        }

        #expect(match == .yes)
        #expect(asked == 0)
    }

    @Test func takesAULabelForItsALabel() throws {
        #expect(try verdict("bücher.test", "xn--bcher-kva.test", .exact) == .yes)
        #expect(try verdict("BÜCHER.test", "bücher.test", .exact) == .yes)
        #expect(try verdict(".bücher.test", "a.bücher.test", .exact) == .yes)
        #expect(try verdict("xn--bcher-kva.test", "bücher.test", .exact) == .yes)
    }

    @Test func listsTheNamesThatCanMatchInTheirOrder() {
        let text = "b.test, !hidden.test, a.test, hidden.test, x.hidden.test, .suffix.test, b.test, [1.2.3.4], store:, /plain"

        let parent = DomainList(parsing: text, mode: .parentDomains, readFile: Self.read)
        let exact = DomainList(parsing: text, mode: .exact, readFile: Self.read)

        #expect(parent.literalDomains.map(\.description) == ["b.test", "a.test", "c.test", "d.test", "e.test"])
        #expect(exact.literalDomains.map(\.description) == ["b.test", "a.test", "x.hidden.test", "c.test", "d.test", "e.test"])
    }

    @Test func warnsOfPatternsThatCannotMatch() {
        func warnings(_ text: String, _ mode: DomainList.Mode) -> [String] {
            DomainList(parsing: text, mode: mode, readFile: Self.read).warnings
        }

        #expect(warnings("c.test, !d.test, static:all, store:, /plain", .parentDomains).isEmpty)
        #expect(warnings(".c.test", .parentDomains).count == 1)
        #expect(warnings(".c.test", .exact).isEmpty)
        #expect(warnings("/no/such", .exact) == ["/no/such: No such file or directory"])
        #expect(warnings("hash:/x", .exact).first?.contains("hash") == true)
        #expect(warnings("c.test #note", .exact).count == 1)
        #expect(warnings("a\u{1B}[2Jb", .exact).first?.contains("\u{1B}") == false)
        #expect(warnings(Array(repeating: "*", count: 500).joined(separator: " "), .exact).count == DomainList.maximumWarnings)
    }

    @Test func anEmptyListIsEmpty() {
        #expect(DomainList(parsing: " , \n", mode: .exact, readFile: Self.read).isEmpty)
        #expect(!DomainList(parsing: "store:", mode: .exact, readFile: Self.read).isEmpty)
    }

    @Test func staysFastWithALongList() {
        let text = (0..<100_000).map { "d\($0).test" }.joined(separator: "\n")
        let list = DomainList(parsing: text, mode: .parentDomains, readFile: Self.read)

        for number in stride(from: 0, to: 100_000, by: 10) {
            #expect(list.match(DomainName("a.b.d\(number).test")!) { _ in false } == .yes)
        }
        #expect(list.match(DomainName("d100000.test")!) { _ in false } == .no)
    }
}
