// The inputs that are kept in the tree: the corpus, and what was found once.

import Glibc

/// All kept inputs of one target, in the order of their names.
struct KeptInputs {
    let corpus: String
    let all: [(path: String, input: [UInt8])]

    init(of target: FuzzTarget) throws {
        // This file is Tests/FuzzTests/KeptInputs.swift.
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        corpus = "/\(root)/Fuzz/Corpus/\(target.name)"
        all = try [corpus, "/\(root)/Fuzz/Found/\(target.name)"].flatMap(Self.files)
    }

    /// The files of a folder; none when there is no folder.
    private static func files(below folder: String) throws -> [(path: String, input: [UInt8])] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return try names.sorted().map { ("\(folder)/\($0)", try content(of: "\(folder)/\($0)")) }
    }

    private static func content(of path: String) throws -> [UInt8] {
        guard let file = fopen(path, "r") else { throw Violation(description: "cannot open \(path)") }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4_096)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
        return bytes
    }
}
