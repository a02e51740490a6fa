/** A Python program that nobody trusts. */
export interface Program {
  code: string
  /** Python that runs before it in the same module; after its `from __future__` lines. */
  prelude?: string | undefined
  /**
   * Called for each input: `name`, or `Class.method` of a new object; the code is imported then, so that what it keeps under
   * `if __name__ == "__main__"` does not run. Without it the code runs as `__main__`, reads stdin and prints.
   */
  entry?: string | undefined
}

/** What one run is given: text on stdin, or JSON texts of the arguments of `entry`. */
export type ProgramInput = { stdin: string; args?: undefined } | { args: readonly string[]; stdin?: undefined }

export interface ProgramLimits {
  /** Of each run, by the clock. */
  seconds: number
  /** Address space of each run. */
  memoryBytes: number
  /** Of stdout, and of the value that `entry` returns. */
  outputBytes: number
}

/**
 * How one run ended. `finished`: the code ran to its end and, with `entry`, returned. `exit`: it ended the process itself, by
 * sys.exit, exit or os._exit, also with status 0 (`detail: '0'`), which is an ordinary end for a program that prints, and none for a
 * test that is to run to its end. `exception`: uncaught, or the code does not compile. `memory`: MemoryError. `output`: more than
 * `outputBytes`. `timeout`: too slow twice, the second time alone. `protocol`: an answer that the runner cannot have written.
 */
export type RunStatus = 'finished' | 'exception' | 'exit' | 'signal' | 'timeout' | 'memory' | 'output' | 'protocol'

export interface RunOutcome {
  status: RunStatus
  /** All that it printed. */
  stdout: string
  /** JSON text of what `entry` returned: lists for tuples, as Python's json.dumps writes them. */
  value?: string | undefined
  /** The exception's type and message (`ValueError: x`), the exit status (`1`), the signal (`SIGSEGV`). */
  detail?: string | undefined
  /** By the clock. */
  seconds: number
}

/** What the compiler says of code, without running it. */
export interface CodeOutline {
  compiles: boolean
  /** The compiler's message where it does not. */
  problem?: string | undefined
  /** Functions and classes of the module's top level, and methods as `Class.method`. */
  names: readonly string[]
}

/** 3: namespaces, Landlock and seccomp; 2: seccomp, and Landlock or namespaces; 1: seccomp and limits; 0: nothing. */
export type SandboxLevel = 0 | 1 | 2 | 3

/** Runs programs, several at a time; what is more waits. */
export interface ProgramRunner {
  readonly level: SandboxLevel
  outline(code: string, signal?: AbortSignal): Promise<CodeOutline>
  /**
   * Runs the program once for each input, in order, each in a process of its own, and stops after the first outcome for which
   * `goOn` says false.
   */
  run(
    program: Program,
    inputs: readonly ProgramInput[],
    limits: ProgramLimits,
    options?: {
      signal?: AbortSignal | undefined
      goOn?: ((outcome: RunOutcome, index: number) => boolean) | undefined
    },
  ): Promise<RunOutcome[]>
  close(): Promise<void>
}
