import type { SandboxLevel } from './program.js'

/** Where programs that models wrote run, as users say it. */
export interface SandboxOptions {
  /** The least safety that will do. Default: 2. */
  level?: SandboxLevel | undefined
  /** Programs at the same time. Default: all cores but one. */
  workers?: number | undefined
  /** The interpreter. Default: python3. */
  python?: string | undefined
}
