// The command's two names.

import ArgumentParser
import Glibc

@main
enum Main {
    static func main() async {
        // A reader that has seen enough ends us by EPIPE, not by a signal in the middle of a request.
        signal(SIGPIPE, SIG_IGN)
        if Console.name == "etrn-postqueue" {
            await PostqueueCommand.main()
        } else {
            await Etrnctl.main()
        }
    }
}
