// The known name that somebody most likely meant.

/// The one of `names` nearest to `text`, or nil when none is near: at most a third of its letters, and never more than three, wrong.
func nearestName(to text: String, among names: [String]) -> String? {
    let typed = Array(text.lowercased().utf8)
    // Longer than any name plus the distance that would still count.
    guard !typed.isEmpty, typed.count <= 64 else { return nil }
    var best: (name: String, distance: Int)?
    for name in names {
        let known = Array(name.utf8)
        let distance = editDistance(typed, known)
        guard distance <= min(3, max(1, known.count / 3)), distance < best?.distance ?? .max else { continue }
        best = (name, distance)
    }
    return best?.name
}

/// How many letters must be put in, left out, replaced, or swapped with their neighbour to make `b` of `a`.
func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var beforePrevious = [Int](repeating: 0, count: b.count + 1)
    var previous = Array(0...b.count)
    var current = previous
    for i in a.indices {
        current[0] = i + 1
        for j in b.indices {
            current[j + 1] = min(previous[j + 1] + 1, current[j] + 1, previous[j] + (a[i] == b[j] ? 0 : 1))
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
                current[j + 1] = min(current[j + 1], beforePrevious[j - 1] + 1)
            }
        }
        (beforePrevious, previous, current) = (previous, current, beforePrevious)
    }
    return previous[b.count]
}
