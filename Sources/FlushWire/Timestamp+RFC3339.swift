// Times as RFC 3339 texts in UTC.

import FlushCore
import JSONText

extension Timestamp {
    /// `2026-11-22T18:00:00Z`, with microseconds when there are any.
    public var rfc3339: String {
        let whole = seconds
        let fraction = microseconds - whole * 1_000_000
        let days = whole >= 0 ? whole / 86_400 : (whole - 86_399) / 86_400
        let clock = whole - days * 86_400
        let (year, month, day) = Self.civilDate(daysSinceEpoch: days)
        // Straight into the text's storage: a page has a thousand of these.
        return String(unsafeUninitializedCapacity: 32) { buffer in
            var count = 0
            func put(_ mark: Unicode.Scalar) {
                buffer[count] = UInt8(ascii: mark)
                count += 1
            }
            func put(_ number: Int64, _ width: Int) {
                var rest = number.magnitude
                for place in stride(from: count + width - 1, through: count, by: -1) {
                    buffer[place] = UInt8(ascii: "0") + UInt8(rest % 10)
                    rest /= 10
                }
                count += width
            }
            // What is not four digits wide is in nobody's queue, and still tells that it is strange.
            if year < 0 { put("-") }
            put(year, (-9_999...9_999).contains(year) ? 4 : 6)
            put("-")
            put(month, 2)
            put("-")
            put(day, 2)
            put("T")
            put(clock / 3600, 2)
            put(":")
            put(clock / 60 % 60, 2)
            put(":")
            put(clock % 60, 2)
            if fraction != 0 {
                put(".")
                put(fraction, 6)
            }
            put("Z")
            return count
        }
    }

    /// Reads what `rfc3339` writes: UTC with a `Z`, and at most six digits after the second. Nil for anything else.
    public init?(rfc3339 text: String) {
        var parts = text.utf8[...]
        func number(_ width: ClosedRange<Int>) -> Int64? {
            let digits = parts.prefix { (0x30...0x39).contains($0) }
            guard width.contains(digits.count) else { return nil }
            parts = parts.dropFirst(digits.count)
            return Int64(String(decoding: digits, as: UTF8.self))
        }
        func mark(_ scalar: Unicode.Scalar) -> Bool { parts.popFirst() == UInt8(ascii: scalar) }
        // A few years before our era and some after the four digits are possible in a `Timestamp`, and in nobody's queue.
        guard let year = number(4...4), mark("-"), let month = number(2...2), mark("-"), let day = number(2...2), mark("T"),
            let hour = number(2...2), mark(":"), let minute = number(2...2), mark(":"), let second = number(2...2),
            (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 60
        else { return nil }
        var fraction: Int64 = 0
        if parts.first == UInt8(ascii: ".") {
            _ = parts.popFirst()
            let width = parts.count
            guard let digits = number(1...6) else { return nil }
            fraction = (width - parts.count..<6).reduce(digits) { number, _ in number * 10 }
        }
        guard mark("Z"), parts.isEmpty else { return nil }
        let days = Self.daysSinceEpoch(year, month, day)
        guard Self.civilDate(daysSinceEpoch: days) == (year, month, day) else { return nil }
        self.init(microseconds: (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + fraction)
    }

    /// The reverse of `civilDate`.
    private static func daysSinceEpoch(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    /// The Gregorian date, counted in eras of 400 years that begin on the first of March, so that the leap day ends a year.
    private static func civilDate(daysSinceEpoch: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = daysSinceEpoch + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }
}

extension JSONWriter {
    mutating func field(_ name: StaticString, _ time: Timestamp?) { field(name, time?.rfc3339) }
}
