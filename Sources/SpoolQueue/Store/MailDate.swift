// Dates as mail headers write them (RFC 5322, section 3.3), in UTC.

import FlushCore

enum MailDate {
    private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    private static let secondsPerDay: Int64 = 86_400

    /// For example `Sun, 22 Nov 2026 18:00:00 +0000`.
    static func text(_ time: Timestamp) -> String {
        let seconds = max(0, time.seconds)
        let day = seconds / secondsPerDay
        let second = seconds % secondsPerDay
        let (year, month, dayOfMonth) = date(of: day)
        let clock = [second / 3_600, second / 60 % 60, second % 60].map { $0 < 10 ? "0\($0)" : "\($0)" }.joined(separator: ":")
        return "\(days[Int(day % 7)]), \(dayOfMonth) \(months[month - 1]) \(year) \(clock) +0000"
    }

    /// The Gregorian date of a day after 1970-01-01: whole eras of 400 years first, years that begin in March within them.
    private static func date(of day: Int64) -> (year: Int64, month: Int, day: Int64) {
        let fromMarchOfYear0 = day + 719_468
        let era = fromMarchOfYear0 / 146_097
        let dayOfEra = fromMarchOfYear0 % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), Int(month), dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
    }
}
