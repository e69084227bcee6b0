//! The `gristmill` command. See [`gristmill::cli`].

fn main() -> std::process::ExitCode {
    gristmill::cli::main()
}
