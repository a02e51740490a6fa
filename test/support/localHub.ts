import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * A `fetch` that serves a directory as the Hub serves a repository, so that the parser of @huggingface/hub reads local
 * files: whole files and single byte ranges, and the Hub's own 404.
 */
export function fetchFrom(directory: string): typeof fetch {
  return async (url, init) => {
    const name = decodeURIComponent(new URL(String(url)).pathname.split('/').at(-1) ?? '')
    const path = join(directory, name)
    if (!existsSync(path)) return new Response(null, { status: 404, headers: { 'x-error-code': 'EntryNotFound' } })
    const file = await open(path)
    try {
      const { size } = await file.stat()
      const range = /^bytes=(\d+)-(\d*)$/.exec(new Headers(init?.headers).get('range') ?? '')
      const begin = Number(range?.[1] ?? 0)
      const last = Math.min(Number(range?.[2] || size - 1), size - 1)
      const bytes = Buffer.alloc(last + 1 - begin)
      await file.read(bytes, 0, bytes.length, begin)
      const headers = {
        etag: `"${name}"`,
        'content-length': `${bytes.length}`,
        'content-range': `bytes ${begin}-${last}/${size}`,
      }
      return new Response(bytes, { status: range ? 206 : 200, headers })
    } finally {
      await file.close()
    }
  }
}
