// Text from elsewhere, fit to be shown.

/// What queues and servers say may come from anybody; what controls a terminal, or turns the writing direction, is shown as a question mark.
public func safe(_ text: String) -> String {
    var shown = ""
    for scalar in text.unicodeScalars {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse: shown.unicodeScalars.append("?")
        default: shown.unicodeScalars.append(scalar)
        }
    }
    return shown
}

/// At most `width` characters; what is cut is shown by an ellipsis.
public func cut(_ text: String, to width: Int) -> String {
    guard width > 0 else { return "" }
    return text.count <= width ? text : text.prefix(width - 1) + "…"
}
