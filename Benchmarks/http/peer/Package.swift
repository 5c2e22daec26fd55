// swift-tools-version: 6.2
// The peer of Benchmarks/http/run that is written in Swift: the same answers, served by Hummingbird. A package of its own, so that
// nobody who builds the daemon fetches it.
import PackageDescription

let package = Package(
    name: "peer",
    dependencies: [.package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1")],
    targets: [.executableTarget(name: "Peer", dependencies: [.product(name: "Hummingbird", package: "hummingbird")])]
)
