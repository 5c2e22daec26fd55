// swift-tools-version: 6.2
// What a socket would hide, for Benchmarks/flush/run: the core alone. A package of its own, so that nobody who builds the daemon builds it.
import PackageDescription

let package = Package(
    name: "core-benchmark",
    dependencies: [
        .package(name: "etrnd", path: "../../.."),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    ],
    targets: [
        .executableTarget(
            name: "CoreBenchmark",
            dependencies: [.product(name: "FlushLibraries", package: "etrnd"), .product(name: "Logging", package: "swift-log")])
    ]
)
