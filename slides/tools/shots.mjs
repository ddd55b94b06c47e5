// Pictures of each slide, before the first click (NNN-0.png) and after the last (NNN.png):
// CUT=talk node tools/shots.mjs FOLDER [FIRST [LAST]]. SCALE=0.6 is what the last row sees.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { open, source } from './deck.mjs'

const slides = await source()
const [folder, first = 1, last = slides.length] = process.argv.slice(2)
mkdirSync(folder, { recursive: true })
const deck = await open({ scale: Number(process.env.SCALE ?? 1) })
for (let no = Number(first); no <= Number(last); no++) {
  for (const [clicks, name] of [[0, '-0'], [99, '']]) {
    await deck.show(no, clicks)
    await deck.page.screenshot({ path: join(folder, `${String(no).padStart(3, '0')}${name}.png`) })
  }
}
await deck.close()
for (const problem of deck.problems) console.error(problem)
