// Colour, where there is a terminal to show it.

/// Marks text for a terminal, or leaves it as it is.
public struct Style: Sendable {
    public var usesColour: Bool

    public init(usesColour: Bool) { self.usesColour = usesColour }

    public static let plain = Style(usesColour: false)

    public func heading(_ text: String) -> String { mark("1", text) }
    public func good(_ text: String) -> String { mark("32", text) }
    public func caution(_ text: String) -> String { mark("33", text) }
    public func bad(_ text: String) -> String { mark("31", text) }

    private func mark(_ code: String, _ text: String) -> String { usesColour ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text }
}
