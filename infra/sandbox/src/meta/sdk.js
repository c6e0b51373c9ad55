// Replacement for Meta's JavaScript SDK: FB.init and FB.login, as far as a signup needs them. Accepts messages from its
// own origin only.
(() => {
  const meta = new URL(document.currentScript.src).origin;
  window.FB = {
    init(settings) { window.FB.settings = settings; },
    login(callback, options) {
      const query = new URLSearchParams({ app: window.FB.settings.appId, config: options.config_id });
      const popup = window.open(meta + "/_sim/signup?" + query, "signup", "width=520,height=680");
      const listener = ({ origin, data }) => {
        if (origin !== meta || !data || data.type !== "simulated_login") return;
        window.removeEventListener("message", listener);
        callback(data.code ? { authResponse: { code: data.code } } : {});
      };
      window.addEventListener("message", listener);
      if (!popup) callback({});
    },
  };
})();
