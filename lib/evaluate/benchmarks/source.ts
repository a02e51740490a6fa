import type { Benchmark, Profile } from './benchmark.js'

/** What a benchmark is read from. */
export interface BenchmarkSource {
  /** As the user calls it. */
  name: string
  /** A file, a directory, or files by a name with `*`. */
  path: string
  profile: Profile
  /** Checked by the benchmark that takes them. */
  options: Readonly<Record<string, unknown>>
  signal?: AbortSignal | undefined
  /** Bytes of files that take long. */
  onProgress?: ((done: number, total: number) => void) | undefined
}

/** What the reader of one kind finds; openBenchmark adds what all have. */
export interface ReadBenchmark extends Omit<Benchmark, 'name' | 'kind' | 'profile' | 'files'> {
  /** All files that determine it, with their SHA-256 where the reader knows it. */
  paths: readonly (string | { path: string; sha256: string })[]
}

/** One kind of benchmark. */
export interface BenchmarkReader {
  kind: string
  /** What users call it. */
  names: RegExp
  /** Whether the columns of a file's first row are those of this kind and of no other. */
  hasColumns(columns: ReadonlySet<string>): boolean
  profiles: readonly Profile[]
  /** Names of its options. */
  options: readonly string[]
  read(source: BenchmarkSource): Promise<ReadBenchmark>
}
