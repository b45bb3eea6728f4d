// Search in pages that were opened from a folder: no browser starts a worker there, so its script runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.answered = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      this.loaded = new Promise((ready) => this.frame.addEventListener("load", ready, { once: true }));
      // what the script says goes to the page, not to the frame that it runs in
      this.frame.srcdoc =
        "<script>window.postMessage = (data) => window.frameElement.answered(data);</" +
        `script><script src="${address}"></` + "script>";
      document.body.append(this.frame);
    }

    async postMessage(data) {
      await this.loaded;
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
    }
  };
}
