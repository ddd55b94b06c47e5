// Serves a built deck, until Ctrl-C: CUT=talk node tools/show.mjs [PORT]
import { OUT, serve } from './deck.mjs'

const port = Number(process.argv[2] ?? 3030)
await serve(OUT, port).catch(({ code, message }) => {
  console.error(code === 'EADDRINUSE' ? `port ${port} is taken: is a deck shown already?` : message)
  process.exit(1)
})
console.log(`the deck:  http://localhost:${port}/\nthe notes: http://localhost:${port}/#/presenter/1`)
