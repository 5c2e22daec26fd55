// Looks at what the daemon needs of this machine: its directory, and room on the disk.

import Configuration
import PostfixQueue

struct ServiceExamination {
    /// What the daemon makes in its directory.
    private static let knownFiles = ["etrnd.db", "etrnd.db-wal", "etrnd.db-shm", "flush", "spool"]

    let settings: Settings

    func state() -> StateFacts {
        let path = settings.text("state_directory")
        let files = Self.knownFiles.map { Files.look(at: "\(path)/\($0)") }.filter { file in
            switch file.kind {
            case .missing, .hidden: false
            default: true
            }
        }
        return StateFacts(directory: Files.look(at: path), parent: Files.look(at: Files.parent(of: path)), files: files)
    }

    /// - Parameter mainCf: of the Postfix whose queue it is; nil for the spool.
    func disks(_ mainCf: MainCf?) -> [DiskFacts] {
        let state = settings.text("state_directory")
        guard let mainCf else {
            let required = max(settings.bytes("queue_minfree"), settings.bytes("message_size_limit"))
            return [disk(state, required: required, because: "queue_minfree and message_size_limit")].compactMap(\.self)
        }
        // postconf(5), queue_minfree: one and a half times the largest message must fit anyway.
        let (half, _) = (Int(mainCf["message_size_limit"] ?? "") ?? 0).multipliedReportingOverflow(by: 3)
        let required = max(Int(mainCf["queue_minfree"] ?? "") ?? 0, half / 2)
        return [
            disk(mainCf.queueDirectory, required: required, because: "queue_minfree and message_size_limit in main.cf"),
            disk(state, required: 1 << 20, because: "the database must be able to grow"),
        ].compactMap(\.self)
    }

    private func disk(_ path: String, required: Int, because: String) -> DiskFacts? {
        guard let room = Files.room(at: path) else { return nil }
        return DiskFacts(path: path, available: room.bytes, availableFiles: room.files, required: required, because: because)
    }
}
