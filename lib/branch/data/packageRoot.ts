import { fileURLToPath } from 'node:url'

/** Directory of this package: as far from lib/branch/data as from dist/branch/data. */
export const packageRoot = fileURLToPath(new URL('../../../', import.meta.url))
