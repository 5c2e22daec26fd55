// Tables that fit a terminal.

/// Rows under headings, at most `width` characters wide. A column that may shrink is cut where the rest needs the room.
public struct Table: Sendable {
    public struct Column: Sendable {
        public var title: String
        public var isNumber: Bool
        public var mayShrink: Bool

        public init(_ title: String, isNumber: Bool = false, mayShrink: Bool = false) {
            self.title = title
            self.isNumber = isNumber
            self.mayShrink = mayShrink
        }
    }

    /// What an old terminal shows, and every mail program.
    public static let usualWidth = 80
    private static let narrowest = 8
    private static let gap = "  "

    private let columns: [Column]
    private var rows: [[String]] = []

    public init(_ columns: [Column]) { self.columns = columns }

    /// Adds a row: as many cells as there are columns, from wherever they come.
    public mutating func add(_ cells: [String]) {
        precondition(cells.count == columns.count, "a row has a cell for each column")
        rows.append(cells.map(safe))
    }

    public func lines(width: Int = usualWidth, style: Style = .plain) -> [String] {
        let widths = fitted(width)
        return [style.heading(line(columns.map(\.title), widths))] + rows.map { line($0, widths) }
    }

    private func fitted(_ width: Int) -> [Int] {
        var widths = columns.enumerated().map { index, column in
            rows.reduce(column.title.count) { max($0, $1[index].count) }
        }
        var excess = widths.reduce(0, +) + Self.gap.count * (columns.count - 1) - width
        while excess > 0 {
            // The widest gives way first, down to the next one's width, so that no column is cut for another's sake.
            let shrinking = columns.indices.filter { columns[$0].mayShrink && widths[$0] > Self.narrowest }
            guard let widest = shrinking.max(by: { widths[$0] < widths[$1] }) else { break }
            let next = shrinking.filter { $0 != widest }.map { widths[$0] }.max() ?? Self.narrowest
            let step = max(1, min(excess, widths[widest] - max(next, Self.narrowest)))
            widths[widest] -= step
            excess -= step
        }
        return widths
    }

    private func line(_ cells: [String], _ widths: [Int]) -> String {
        let padded = zip(cells, widths).enumerated().map { index, cell in
            let text = cut(cell.0, to: cell.1)
            let blanks = String(repeating: " ", count: cell.1 - text.count)
            return columns[index].isNumber ? blanks + text : text + blanks
        }
        var line = padded.joined(separator: Self.gap)
        while line.last == " " { line.removeLast() }
        return line
    }
}
