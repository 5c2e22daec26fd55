// What happened, in order, told by several tasks.

import Synchronization

/// A list that closures on any thread may append to.
public final class Recorder<Element: Sendable>: Sendable {
    private let list = Mutex<[Element]>([])

    public init() {}

    public func append(_ element: Element) { list.withLock { $0.append(element) } }

    public var elements: [Element] { list.withLock { $0 } }
}
