// The program that libFuzzer drives: `Fuzzer TARGET [libFuzzer's arguments]`. Built by Tools/fuzz only.

import CLibFuzzer
import Glibc

/// What libFuzzer calls is a C function, which can remember nothing; set once, before the first call.
private nonisolated(unsafe) var chosen: FuzzTarget?

private func complain(_ text: String) {
    let line = Array("\(text)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
}

/// libFuzzer starts this program again, for a merge say, with its own arguments only: the target's name is in the environment then.
private let variable = "FUZZ_TARGET"

private func drive() -> CInt {
    var rest = CommandLine.arguments.dropFirst()
    let inherited = getenv(variable).map { String(cString: $0) }
    let name = rest.first?.hasPrefix("-") == true ? inherited : rest.popFirst()
    guard let name, let target = FuzzTarget.all.first(where: { $0.name == name }) else {
        for target in FuzzTarget.all { print(target.name) }
        return name == nil ? 0 : 2
    }
    setenv(variable, name, 1)
    chosen = target
    // libFuzzer keeps the pointers: they are never freed.
    var texts = ([CommandLine.arguments[0], "-max_len=\(target.maximumLength)"] + rest).map { strdup($0) }
    var count = CInt(texts.count)
    texts.append(nil)
    let list = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: texts.count)
    list.initialize(from: &texts, count: texts.count)
    var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = list
    return withUnsafeMutablePointer(to: &arguments) { arguments in
        LLVMFuzzerRunDriver(&count, arguments) { data, size in
            do { try chosen?.check(Array(UnsafeBufferPointer(start: data, count: size))) } catch {
                complain("violation: \(error)")
                // libFuzzer keeps the input of a process that dies like this.
                abort()
            }
            return 0
        }
    }
}

exit(drive())
