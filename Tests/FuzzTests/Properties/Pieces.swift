// The ways in which an input reaches a parser: whole, byte by byte, and cut where the fuzzer likes.

/// An input with the places where it is cut.
///
/// What follows the last byte 0xFF is no input but lengths of pieces, used over and over; without that byte they are made from the
/// input itself, so that plain texts are inputs and every change of them moves the cuts.
struct Pieces {
    private static let mark: UInt8 = 0xff

    let bytes: [UInt8]
    private let lengths: [Int]

    init(_ input: [UInt8]) {
        guard let end = input.lastIndex(of: Self.mark) else {
            bytes = input
            var hash: UInt64 = 0xcbf2_9ce4_8422_2325
            for byte in input { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
            lengths = (0..<8).map { Int((hash >> (8 * UInt64($0))) & 63) }
            return
        }
        bytes = Array(input[..<end])
        lengths = input[(end + 1)...].map(Int.init)
    }

    var whole: [[UInt8]] { bytes.isEmpty ? [] : [bytes] }
    var singly: [[UInt8]] { bytes.map { [$0] } }

    var chosen: [[UInt8]] {
        guard !lengths.isEmpty else { return whole }
        var pieces: [[UInt8]] = []
        var start = 0
        while start < bytes.count {
            let end = min(bytes.count, start + max(1, lengths[pieces.count % lengths.count]))
            pieces.append(Array(bytes[start..<end]))
            start = end
        }
        return pieces
    }

    /// Reads the input in every way and throws when the results differ; returns what it is when it is whole.
    @discardableResult
    func sameEveryWay<Result: Equatable>(_ read: ([[UInt8]]) throws -> Result) throws -> Result {
        let result = try read(whole)
        try require(result, equals: try read(chosen), "whole and in pieces of \(lengths)")
        try require(result, equals: try read(singly), "whole and byte by byte")
        return result
    }
}
