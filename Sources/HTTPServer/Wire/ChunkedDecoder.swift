// The chunked transfer coding of a request body (RFC 9112, section 7.1), one byte state at a time.

/// Extensions and trailers are checked and dropped. Every line must end with CR LF.
struct ChunkedDecoder {
    /// Digits of a chunk size: what fits 64 bits. Only leading zeros can use them all, because the body's bound comes first.
    static let maximumSizeDigits = 16

    private enum State {
        case size, blankBeforeExtension, chunkExtension, sizeEnd
        case data, dataReturn, dataEnd
        case trailerStart, trailerName, trailerValue, trailerEnd, end
    }

    private var state = State.size
    private var digits = 0
    private var remaining = 0
    private var extensionBytes = 0
    private var trailerBytes = 0
    private var trailerFields = 0

    /// Decodes from `from` on and moves it behind the last byte used.
    ///
    /// - Returns: true when the body is complete.
    mutating func decode(
        _ bytes: UnsafeRawBufferPointer, from: inout Int, into body: inout [UInt8], limits: HTTPLimits
    ) throws(RequestRefusal) -> Bool {
        while from < bytes.count {
            if state == .data {
                let taken = min(remaining, bytes.count - from)
                body.append(contentsOf: bytes[from..<from + taken])
                from += taken
                remaining -= taken
                if remaining == 0 { state = .dataReturn }
                continue
            }
            let byte = bytes[from]
            from += 1
            switch state {
            case .size, .blankBeforeExtension, .chunkExtension, .sizeEnd:
                try takeSizeLine(byte, bodyCount: body.count, limits)
            case .data, .dataReturn, .dataEnd:
                try takeDataEnd(byte)
            case .trailerStart, .trailerName, .trailerValue, .trailerEnd:
                try takeTrailer(byte, limits)
            case .end:
                guard byte == ByteRules.lineFeed else { throw Self.bareReturn }
                return true
            }
        }
        return false
    }

    private static let bareReturn = RequestRefusal.badRequest("In a chunked body every line must end with CR LF.")

    private mutating func takeSizeLine(_ byte: UInt8, bodyCount: Int, _ limits: HTTPLimits) throws(RequestRefusal) {
        switch state {
        case .size:
            if let digit = ByteRules.hexadecimal(byte) {
                digits += 1
                remaining = remaining * 16 + Int(digit)
                guard remaining <= limits.maximumBody - bodyCount else { throw .bodyTooLong(limits) }
                guard digits <= Self.maximumSizeDigits else { throw .badRequest("A chunk size has too many digits.") }
                return
            }
            guard digits > 0 else { throw .badRequest("A chunk must begin with its size in hexadecimal digits.") }
            try endSize(byte)
        case .blankBeforeExtension:
            try endSize(byte)
            if state == .sizeEnd { throw .badRequest("A chunk size may not be followed by a space.") }
        case .chunkExtension:
            if byte == ByteRules.carriageReturn {
                state = .sizeEnd
            } else if !ByteRules.isFieldValue(byte) {
                throw .badRequest("A control character stands in a chunk extension.")
            }
        default:
            guard byte == ByteRules.lineFeed else { throw Self.bareReturn }
            state = remaining == 0 ? .trailerStart : .data
            digits = 0
        }
        if state == .chunkExtension || state == .blankBeforeExtension {
            extensionBytes += 1
            guard extensionBytes <= limits.maximumChunkExtensions else {
                throw .badRequest("Chunk extensions may have at most \(limits.maximumChunkExtensions) bytes.")
            }
        }
    }

    private mutating func endSize(_ byte: UInt8) throws(RequestRefusal) {
        switch byte {
        case ByteRules.carriageReturn: state = .sizeEnd
        case 0x3B: state = .chunkExtension
        case ByteRules.space, ByteRules.tab: state = .blankBeforeExtension
        default: throw .badRequest("A chunk size must be hexadecimal digits.")
        }
    }

    private mutating func takeDataEnd(_ byte: UInt8) throws(RequestRefusal) {
        guard byte == (state == .dataReturn ? ByteRules.carriageReturn : ByteRules.lineFeed) else {
            throw .badRequest("A chunk is longer than its size says.")
        }
        state = state == .dataReturn ? .dataEnd : .size
    }

    private mutating func takeTrailer(_ byte: UInt8, _ limits: HTTPLimits) throws(RequestRefusal) {
        trailerBytes += 1
        guard trailerBytes <= limits.maximumHead else { throw .headTooLong(limits) }
        switch state {
        case .trailerStart where byte == ByteRules.carriageReturn: state = .end
        case .trailerStart:
            trailerFields += 1
            guard trailerFields <= limits.maximumFields else { throw .tooManyFields(limits) }
            guard ByteRules.isToken(byte) else { throw .badRequest("A trailer field must begin with its name.") }
            state = .trailerName
        case .trailerName:
            if byte == ByteRules.colon {
                state = .trailerValue
            } else if !ByteRules.isToken(byte) {
                throw .badRequest("A byte stands in a trailer field's name that may not be there.")
            }
        case .trailerValue:
            if byte == ByteRules.carriageReturn {
                state = .trailerEnd
            } else if !ByteRules.isFieldValue(byte) {
                throw .badRequest("A control character stands in a trailer field's value.")
            }
        default:
            guard byte == ByteRules.lineFeed else { throw Self.bareReturn }
            state = .trailerStart
        }
    }
}
