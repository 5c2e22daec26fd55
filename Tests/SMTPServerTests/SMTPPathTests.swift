// Paths: what is an address and what is none, and what the parts are.

import Testing

@testable import SMTPServer

@Suite struct SMTPPathTests {
    @Test(arguments: [
        ("<a@b.example>", "a@b.example", "a", "b.example"),
        ("<A.b+c=d@B-1.Example>", "A.b+c=d@B-1.Example", "A.b+c=d", "B-1.Example"),
        ("<\"a b\"@c.example>", "\"a b\"@c.example", "\"a b\"", "c.example"),
        ("<\"a@b>c\\\"d\"@e.example>", "\"a@b>c\\\"d\"@e.example", "\"a@b>c\\\"d\"", "e.example"),
        ("<\"\"@e.example>", "\"\"@e.example", "\"\"", "e.example"),
        ("<a@[192.0.2.1]>", "a@[192.0.2.1]", "a", "[192.0.2.1]"),
        ("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", "a", "[IPv6:2001:db8::1]"),
        ("<@x.example,@[192.0.2.9]:a@b.example>", "a@b.example", "a", "b.example"),
        ("<.a..b.@c.example>", ".a..b.@c.example", ".a..b.", "c.example"),
        ("<a@under_score.example>", "a@under_score.example", "a", "under_score.example"),
        ("<!#$%&'*+-/=?^_`{|}~@c.example>", "!#$%&'*+-/=?^_`{|}~@c.example", "!#$%&'*+-/=?^_`{|}~", "c.example"),
        ("<a@localhost>", "a@localhost", "a", "localhost"),
    ])
    func anAddressHasItsParts(text: String, mailbox: String, local: String, domain: String) throws {
        let path = try #require(SMTPPath(text))

        #expect(path.mailbox == mailbox)
        #expect(path.localPart == local)
        #expect(path.domain.map(String.init) == domain)
        #expect(path.description == "<\(mailbox)>")
        #expect(SMTPPath(path.mailbox) == path)
    }

    @Test func theNullPathHasNoParts() throws {
        let path = try #require(SMTPPath("<>"))

        #expect(path == .null)
        #expect(path.isNull)
        #expect(path.localPart.isEmpty)
        #expect(path.domain == nil)
        #expect(SMTPPath("") == .null)
    }

    @Test func postmasterNeedsNoDomain() throws {
        let path = try #require(SMTPPath("<Postmaster>"))

        #expect(path.localPart == "Postmaster")
        #expect(path.domain == nil)
        #expect(!path.hasLiteral)
    }

    @Test(arguments: [
        ("a@b.example", "the address must stand in angle brackets"),
        ("", "the address must stand in angle brackets"),
        ("<a@b.example", "the closing angle bracket is missing"),
        ("<a@b@c.example>", "the closing angle bracket is missing"),
        ("<a b@c.example>", "space in the address"),
        ("<a@b .example>", "space in the address"),
        ("< a@b.example>", "space in the local part"),
        ("<@b.example>", "the source route does not end with a colon"),
        ("<@>", "a label of the domain is missing"),
        ("<@x.example:>", "the local part is missing"),
        ("<@x.example,y.example:a@b>", "the source route is malformed"),
        ("<a@>", "a label of the domain is missing"),
        ("<a@.example>", "'.' in the domain"),
        ("<a@b..example>", "'.' in the domain"),
        ("<a@b.example.>", "a label of the domain is missing"),
        ("<a@b.exa$mple>", "'$' in the address"),
        ("<a@[]>", "']' in the address literal"),
        ("<a@[192.0.2.1>", "the closing bracket of the address literal is missing"),
        ("<a@[192.0.2.1]x>", "'x' in the address"),
        ("<\"a@b.example>", "the quoted local part does not end"),
        ("<\"a\"b@c.example>", "'b' in the address"),
        ("<a,b@c.example>", "',' in the address"),
        ("<a\u{1}b@c.example>", "control character in the address"),
        ("<\"a\u{0}\"@c.example>", "control character in the quoted local part"),
        ("<a@\(String(repeating: "x", count: 64)).example>", "a label of the domain is too long"),
        ("<\(String(repeating: "x", count: 256))@b.example>", "the local part is too long"),
        ("<a@\(String(repeating: "x.", count: 127))xx>", "the domain is too long"),
    ])
    func whatIsNoAddressIsNamed(text: String, error: String) {
        #expect(failure(text)?.text == error)
        #expect(failure(text)?.isInternational == false)
    }

    @Test(arguments: ["<é@b.example>", "<a@bücher.example>", "<\"é\"@b.example>", "<aé@b.example>"])
    func anAddressBeyondASCIIIsToldApart(text: String) {
        #expect(failure(text)?.isInternational == true)
    }

    @Test func theLongestPartsAreTaken() {
        let local = String(repeating: "x", count: 255)
        let domain = String(repeating: "y.", count: 127) + "z"

        #expect(SMTPPath("\(local)@\(domain)")?.mailbox.utf8.count == SMTPPath.maximumLength)
    }

    private func failure(_ text: String) -> PathError? {
        var scanner = PathScanner(Array(text.utf8)[...])
        do throws(PathError) {
            _ = try scanner.bracketedPath()
            return nil
        } catch {
            return error
        }
    }
}
