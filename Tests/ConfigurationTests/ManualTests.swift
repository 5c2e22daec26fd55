// The manual lists the parameters that there are, with their defaults.

import Testing

@testable import Configuration

@Suite struct ManualTests {
    /// One `.It` of the page's list of parameters, with its text joined to one line.
    private struct Entry: Equatable {
        var name: String
        var defaultValue: String
        var text: String
    }

    /// The page stands beside the sources, wherever the tree is built from.
    private func page() throws -> String {
        var parts = try #require(realPath(#filePath)).split(separator: "/").dropLast(3)
        parts += ["deploy", "man", "etrnd.cf.5"]
        return try FileReader.text(of: "/" + parts.joined(separator: "/"), limit: 1 << 20)
    }

    private func entries() throws -> [Entry] {
        let lines = try page().split(separator: "\n")
        let start = try #require(lines.firstIndex(of: ".Sh PARAMETERS"))
        var entries: [Entry] = []
        for line in lines[start...].dropFirst().prefix(while: { !$0.hasPrefix(".Sh ") }) {
            if line.hasPrefix(".It Va ") {
                let words = line.dropFirst(".It Va ".count).split(separator: " ", maxSplits: 3).map(String.init)
                try #require(words.count == 4 && words[1] == "Pq" && words[2] == "default:", "\(line)")
                entries.append(Entry(name: words[0], defaultValue: words[3], text: ""))
            } else if !line.hasPrefix("."), !entries.isEmpty {
                entries[entries.count - 1].text += (entries[entries.count - 1].text.isEmpty ? "" : " ") + line
            }
        }
        return entries
    }

    @Test func thePageHasEveryParameterWithItsDefaultAndSummary() throws {
        let entries = try entries()

        #expect(entries.map(\.name) == ParameterTable.all.map(\.name))
        for (entry, parameter) in zip(entries, ParameterTable.all) {
            #expect(entry.defaultValue == (parameter.defaultValue.isEmpty ? "empty" : parameter.defaultValue), "\(parameter.name)")
            #expect(entry.text.hasPrefix(parameter.summary), "\(parameter.name)")
        }
    }

    @Test func aParameterIsDescribedInOneSentenceAndNotListedTwice() {
        let names = Set(ParameterTable.all.map(\.name))
        #expect(names.count == ParameterTable.all.count)
        for parameter in ParameterTable.all {
            #expect(parameter.summary.hasSuffix(".") && !parameter.summary.dropLast().contains(". "), "\(parameter.name)")
        }
    }
}
