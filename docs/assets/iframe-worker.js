// Lets the search work in a site that is opened as a file, without a server.
//
// The theme searches in a web worker, and browsers start no worker from a file. There, this class takes the worker's place:
// it runs the worker's script in a hidden frame. The theme's plugin `offline` loads such a script from another server, unless
// mkdocs.yml names one that is called iframe-worker.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      this.scope = frame.contentWindow
      const inside = this.scope.document
      // Some browsers replace an empty frame's document after a while. They keep one that is written like this.
      inside.open()
      inside.write("<!doctype html><title>worker</title><body>")
      inside.close()
      const load = (source) =>
        new Promise((resolve, reject) => {
          const script = inside.createElement("script")
          script.onload = resolve
          script.onerror = () => reject(new Error(`cannot load ${source}`))
          script.src = source
          inside.body.append(script)
        })
      this.scope.importScripts = async (...sources) => {
        for (const source of sources) await load(source)
      }
      this.scope.postMessage = (data) => setTimeout(() => this.dispatchEvent(new MessageEvent("message", { data })))
      this.ready = load(url)
    }

    async postMessage(data) {
      await this.ready
      this.scope.dispatchEvent(new MessageEvent("message", { data }))
    }

    terminate() {
      this.scope.frameElement.remove()
    }
  }
}
