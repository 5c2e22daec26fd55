// `$name` in all its forms; the answers of the first table are postconf's.

import Testing

@testable import Configuration

@Suite struct ExpansionTests {
    private func expand(_ text: String, _ others: [String: String] = [:]) throws(Expansion.Failure) -> String {
        var expansion = Expansion(others.merging(["a": "one two", "empty": "", "it": text]) { $1 })
        return try expansion.value(of: "it")
    }

    private func failure(_ text: String, _ others: [String: String] = [:]) -> Expansion.Failure? {
        do throws(Expansion.Failure) {
            _ = try expand(text, others)
            return nil
        } catch { return error }
    }

    @Test(
        arguments: [
            ("$a", "one two"), ("pre$a.post", "preone two.post"), ("${a}x", "one twox"), ("$(a)x", "one twox"), ("${ a }x", "one twox"),
            ("$$a $$$a", "$a $one two"), ("$empty", ""), ("", ""), ("plain", "plain"),
            ("${a? text }x", "text x"), ("${a?{ text }}x", "text x"), ("${a ? yes}x", "yesx"), ("${a?}x", "x"), ("$(a?yes)x", "yesx"),
            ("${empty?text}x", "x"), ("${empty:none}x", "nonex"), ("${empty: none }x", "none x"), ("${a:none}x", "x"), ("${a:{none}}x", "x"),
            ("${empty?{yes}:{no}}x", "nox"), ("${a?{yes}:{no}}x", "yesx"), ("${empty?{yes}:no}x", "nox"),
            ("${a?$empty$a}x", "one twox"), ("${a?{${empty:{deep}}}}", "deep"), ("${a?{b}c}", nil), ("${empty:bücher}", "bücher"),
        ] as [(String, String?)]) func expandsAsPostfixDoes(text: String, expected: String?)
    {
        #expect((try? expand(text)) == expected)
    }

    @Test(arguments: [
        ("$", "a '$' at the end; the character itself is written '$$'"),
        ("a$$$", "a '$' at the end; the character itself is written '$$'"),
        ("$ a", "a '$' that no name follows; the character itself is written '$$'"),
        ("$-", "a '$' that no name follows; the character itself is written '$$'"),
        ("${a", "'${' without its '}'"),
        ("$(a", "'$(' without its ')'"),
        ("${a?{b}", "'${' without its '}'"),
        ("${}", "'${' names no parameter"),
        ("${?x}", "'${?x' names no parameter"),
        ("${{$a} == {b} ? {c} : {d}}", "comparisons in '${…}' are not supported"),
        ("${a!b}", "after the name in '${…}' comes '?', ':' or '}', not '!'"),
        ("${a?{b} c}", "after '{…}' in '${…}' comes ':' or '}'"),
        ("${a?{b}:{c} d}", "text after the second '{…}' in '${…}'"),
        ("${a:{b}:{c}}", "text after '${name:{…}}'"),
        ("$enpty", "'$' with an unknown parameter 'enpty'; did you mean '$empty'?"),
        ("$unheard_of", "'$' with an unknown parameter 'unheard_of'"),
    ]) func saysWhatIsWrong(text: String, reason: String) {
        #expect(failure(text) == .here(reason))
    }

    @Test func whoeverIsInALoopFailsWithItAndWhoeverRefersToOneDoesNot() {
        var expansion = Expansion(["a": "$b", "b": "x $c", "c": "${b}", "d": "$a"])

        #expect(throws: Expansion.Failure.elsewhere) { try expansion.value(of: "d") }
        #expect(throws: Expansion.Failure.elsewhere) { try expansion.value(of: "a") }
        #expect(throws: Expansion.Failure.loop(["b", "c"])) { try expansion.value(of: "b") }
        #expect(throws: Expansion.Failure.loop(["b", "c"])) { try expansion.value(of: "c") }
    }

    @Test func aValueMustNotReferToItself() {
        #expect(failure("$it") == .loop(["it"]))
        #expect(failure("${it?x}") == .loop(["it"]))
    }

    @Test func aValueStopsGrowingAtItsLimit() throws {
        let half = String(repeating: "x", count: Expansion.maximumLength / 2)

        #expect(try expand("$half$half", ["half": half]).utf8.count == Expansion.maximumLength)
        #expect(failure("$half$half.", ["half": half]) == .here("the value grows longer than 65536 bytes when '$' names are put in"))
        #expect(failure("$v39", doubling(times: 40, of: "0123456789")) == .elsewhere)
    }

    @Test func manyEmptyReferencesAreNoWork() throws {
        var texts = doubling(times: 40, of: "")
        texts["it"] = "$v39"
        var expansion = Expansion(texts)

        #expect(try expansion.value(of: "it") == "")
    }

    @Test func deepNestingIsRefused() {
        let deep = String(repeating: "${a?{", count: 100_000) + String(repeating: "}}", count: 100_000)
        let shallow = String(repeating: "${a?{", count: Expansion.maximumDepth) + "x" + String(repeating: "}}", count: Expansion.maximumDepth)

        #expect(failure(deep) == .here("'${…}' nested deeper than 20"))
        #expect((try? expand(shallow)) == "x")
    }

    /// `v0` is the text, each further one twice the one before.
    private func doubling(times: Int, of text: String) -> [String: String] {
        var texts = ["v0": text]
        for i in 1..<times { texts["v\(i)"] = "$v\(i - 1)$v\(i - 1)" }
        return texts
    }
}
