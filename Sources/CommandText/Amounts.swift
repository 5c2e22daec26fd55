// Sizes, times and counts in few characters.

import FlushCore

/// `999 B`, `1.5 kB`, `12 MB`: powers of 1000.
public func size(_ bytes: Int) -> String {
    guard bytes >= 1_000 else { return "\(bytes) B" }
    var unit = 1_000
    for name in ["kB", "MB", "GB", "TB"] {
        // Rounded to nearest; what would round up to the next unit's 1 is that unit's.
        if bytes < unit * 10 - unit / 20 {
            let tenths = (bytes * 10 + unit / 2) / unit
            return "\(tenths / 10).\(tenths % 10) \(name)"
        }
        if name == "TB" || bytes < unit * 1_000 - unit / 2 { return "\((bytes + unit / 2) / unit) \(name)" }
        unit *= 1_000
    }
    return "\(bytes) B"
}

/// `12 s`, `5 min`, `3 h`, `2 d`: rounded down.
public func span(_ duration: Duration) -> String {
    let seconds = max(0, duration.components.seconds)
    switch seconds {
    case ..<60: return "\(seconds) s"
    case ..<3_600: return "\(seconds / 60) min"
    case ..<172_800: return "\(seconds / 3_600) h"
    default: return "\(seconds / 86_400) d"
    }
}

/// How long ago a moment was; `-` for none.
public func age(_ time: Timestamp?, at now: Timestamp) -> String { time.map { span(now - $0) } ?? "-" }

/// `1 message`, `2 messages`.
public func count(_ number: Int, _ word: String) -> String { "\(number) \(word)\(number == 1 ? "" : "s")" }
