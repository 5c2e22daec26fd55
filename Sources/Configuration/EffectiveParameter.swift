// A parameter as it is in force, for listings and for `GET /policy`.

public struct EffectiveParameter: Sendable, Equatable {
    public let name: String
    /// With `$name` expanded.
    public let value: String
    /// As it was written.
    public let unexpanded: String
    /// `default`, `/etc/etrnd.cf:12`, `environment ETRND_X` or `command line`.
    public let source: String
    public let isDefault: Bool

    init(name: String, value: String, given: SettingSources.Given) {
        self.name = name
        self.value = value
        unexpanded = given.value
        source = given.source.description
        isDefault = given.source == .standard
    }
}
