import { fileURLToPath } from 'node:url'

/** Directory of this package: as far from lib/files as from dist/files. */
export const packageRoot = fileURLToPath(new URL('../../', import.meta.url))
