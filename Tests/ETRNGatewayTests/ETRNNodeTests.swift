// What an argument names, and what a list of queues means.

import FlushCore
import Testing

@testable import ETRNGateway

@Suite struct ETRNNodeTests {
    @Test(arguments: [
        "", "@", "#", "@@a.example", "#@a", "@#a", "-a.example", "a-.example", "a..example", ".a.example", "a.example.", "192.0.2.1", "12",
        "[192.0.2.1]", "[IPv6:2001:db8::1]", "a@b.example", "*.example", "a,b.example", "a/b", "bücher.example", "@bücher.example", "#büro",
        "a\u{0}.example", "#a b", "%s%n.example", String(repeating: "a", count: 64) + ".example",
        String(repeating: "a.", count: 126) + "ab", "#" + String(repeating: "a", count: 65),
    ])
    func thisIsNoNode(argument: String) {
        #expect(ETRNNode(argument) == nil)
    }

    @Test func aNodeIsADomainADomainWithSubdomainsOrAQueue() throws {
        let site = try #require(DomainName("site.example"))

        #expect(ETRNNode("Site.EXAMPLE") == .target(ETRNTarget(site)))
        #expect(ETRNNode("@site.example") == .target(ETRNTarget(site, subdomains: true)))
        #expect(ETRNNode("#Ships_1.x-y") == ETRNQueues.Name("ships_1.X-Y").map(ETRNNode.queue))
        #expect(ETRNNode("xn--bcher-kva.example") != nil)
        #expect(ETRNNode("localhost") != nil)
    }

    @Test func queuesAreReadAsAnOperatorWritesThem() throws {
        let queues = try ETRNQueues(["Ships = one.example, @two.example  one.example", "north=three.example"])
        let (one, two, three) = (DomainName("one.example")!, DomainName("two.example")!, DomainName("three.example")!)

        #expect(queues[ETRNQueues.Name("SHIPS")!] == [ETRNTarget(one), ETRNTarget(two, subdomains: true)])
        #expect(queues[ETRNQueues.Name("north")!] == [ETRNTarget(three)])
        #expect(queues[ETRNQueues.Name("south")!] == nil)
    }

    @Test(arguments: [
        (["ships"], "'ships' is no queue: expected {name = domain, ...}, in braces"),
        (["ships ="], "'ships =' is no queue: the queue has no domains"),
        (["= a.example"], "'= a.example' is no queue: a queue's name has 1 to 64 letters, digits, dots, hyphens and underscores"),
        (["my ships = a.example"], "'my ships = a.example' is no queue: a queue's name has 1 to 64 letters, digits, dots, hyphens and underscores"),
        (["s = a.example -b"], "'s = a.example -b' is no queue: '-b' is neither a domain nor @domain"),
        (["s = #a"], "'s = #a' is no queue: '#a' is neither a domain nor @domain"),
        (["s = a=b"], "'s = a=b' is no queue: 'a=b' is neither a domain nor @domain"),
        (["s = a.example", "S = b.example"], "'S = b.example' is no queue: the queue 's' is there twice"),
    ])
    func aBadQueueIsTold(items: [String], complaint: String) {
        #expect(performing { () throws(InvalidETRNQueue) in _ = try ETRNQueues(items) } == complaint)
    }

    @Test func aQueueHasOnlySoManyDomains() {
        func item(_ count: Int) -> String { "many = " + (0..<count).map { "d\($0).example" }.joined(separator: " ") }

        #expect(throws: Never.self) { try ETRNQueues([item(ETRNQueues.maximumDomains)]) }
        let complaint = performing { () throws(InvalidETRNQueue) in _ = try ETRNQueues([item(ETRNQueues.maximumDomains + 1)]) }
        #expect(complaint?.hasSuffix("...' is no queue: the queue has more than 100 domains") == true)
    }

    private func performing(_ body: () throws(InvalidETRNQueue) -> Void) -> String? {
        do throws(InvalidETRNQueue) {
            try body()
            return nil
        } catch { return error.description }
    }
}
