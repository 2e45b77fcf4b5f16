"""Methods that clear a whole picture of haze, rain, noise, blur, a watermark or the damage of old photographs."""
