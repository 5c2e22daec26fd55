// Look-ups in Postfix's tables, as Postfix makes them: asked of postmap(1).

/// A table such as `hash:/etc/postfix/transport`, `inline:{…}` or `proxy:sqlite:/etc/postfix/x.cf`.
public enum PostfixTable {
    /// The first of the keys, in their order, that the table has; nil when it has none of them. Blocks, at most `PostfixCommand.patience`.
    ///
    /// A `proxy:` table can be asked while Postfix runs, and by root or `mail_owner` only.
    public static func lookUp(
        _ keys: [String], in table: String, configurationDirectory: String
    ) throws(MainCfError) -> (key: String, value: String)? {
        let input = keys.map { "\($0)\n" }.joined()
        let (_, output) = try PostfixCommand.postmap.result(of: ["-c", configurationDirectory, "-q", "-", table], input: input)
        var found: [Substring: Substring] = [:]
        for line in output.split(separator: "\n") {
            // Errors come on the same way, after the command's name. A warning may be about anything in main.cf.
            if line.hasPrefix("\(PostfixCommand.postmap.program): fatal: ") { throw MainCfError(DeferLog.oneLine(String(line))) }
            let parts = line.split(separator: "\t", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { found[parts[0]] = parts[1] }
        }
        // Not even the exit status is needed: it tells only whether there was any.
        for key in keys {
            if let value = found[key[...]] { return (key, String(value)) }
        }
        return nil
    }
}
