import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { BranchMergeError } from '../errors.js'
import { packageRoot } from '../files/packageRoot.js'
import type { RemoteFile } from './repository.js'

/** What the thread is to do: hash a file as far as `until`. */
export interface HashRequest {
  id: number
  path: string
  kind: RemoteFile['hash']
  /** Of the whole file. */
  bytes: number
  until: number
  /** Forget the file instead. */
  drop?: true
}

/** Of a large file, how far it is hashed is told now and then. */
export type HashResult = { id: number; digest: string } | { id: number; error: string } | { id: number; at: number }

interface Waiting {
  resolve(digest: string): void
  reject(error: unknown): void
  onAdvance: ((bytes: number) => void) | undefined
}

/** A hash that follows the bytes of a file that grows from its start. */
export interface FollowingHash {
  /** So many bytes from the start are there. */
  advance(until: number): void
  /** After all bytes: the hash in hexadecimal digits. @throws ERR_FILE_READ */
  digest(): Promise<string>
  drop(): void
}

/** A thread for the hashes of all files of a download: hashing a gigabyte takes most of a second. */
export class FileHashes {
  private worker: Worker | undefined
  private readonly waiting = new Map<number, Waiting>()
  private next = 0

  /** @param onAdvance - is told now and then how many bytes are hashed */
  follow(
    path: string,
    { hash: kind, bytes }: Pick<RemoteFile, 'hash' | 'bytes'>,
    onAdvance?: (bytes: number) => void,
  ): FollowingHash {
    const worker = this.start()
    const file = { id: this.next++, path, kind, bytes }
    const done = new Promise<string>((resolve, reject) => this.waiting.set(file.id, { resolve, reject, onAdvance }))
    done.catch(() => {}) // it is told to whoever asks for the digest
    return {
      advance: (until) => {
        if (until < bytes) worker.postMessage({ ...file, until } satisfies HashRequest)
      },
      digest: () => {
        worker.postMessage({ ...file, until: bytes } satisfies HashRequest)
        return done
      },
      drop: () => worker.postMessage({ ...file, until: 0, drop: true } satisfies HashRequest),
    }
  }

  /** Whoever waits for a digest is told `reason`. */
  async close(reason?: unknown): Promise<void> {
    await this.worker?.terminate()
    this.worker = undefined
    for (const { reject } of this.waiting.values()) reject(reason)
    this.waiting.clear()
  }

  private start(): Worker {
    if (this.worker) return this.worker
    // Threads run the compiled file, also where the sources are run themselves.
    const worker = new Worker(join(packageRoot, 'dist/hub/hashWorker.js'))
    worker.on('message', (result: HashResult) => {
      const waiting = this.waiting.get(result.id)
      if ('at' in result) {
        waiting?.onAdvance?.(result.at)
        return
      }
      this.waiting.delete(result.id)
      if ('digest' in result) waiting?.resolve(result.digest)
      else waiting?.reject(new BranchMergeError('ERR_FILE_READ', `Cannot read what was downloaded: ${result.error}`))
    })
    worker.on('error', (cause) => {
      const error = new BranchMergeError('ERR_INTERNAL', `The thread that hashes files failed: ${cause.message}`, {
        cause,
      })
      for (const { reject } of this.waiting.values()) reject(error)
      this.waiting.clear()
    })
    this.worker = worker
    return worker
  }
}
