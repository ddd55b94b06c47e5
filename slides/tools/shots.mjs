// A picture of each slide: node tools/shots.mjs FOLDER [FIRST [LAST]]
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { open, source } from './deck.mjs'

const [folder, first = 1, last = (await source()).length] = process.argv.slice(2)
mkdirSync(folder, { recursive: true })
const deck = await open()
for (let no = Number(first); no <= Number(last); no++) {
  await deck.show(no)
  await deck.page.screenshot({ path: join(folder, `${String(no).padStart(3, '0')}.png`) })
}
await deck.close()
for (const problem of deck.problems) console.error(problem)
